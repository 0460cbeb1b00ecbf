"""Clients of one socket each who say anything: what the edge does is held against what it has to do."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

import orjson

from edge_gateway.sockets import frames
from edge_gateway.sockets.codes import Close
from edge_gateway.sockets.pace import Paces
from edge_gateway.sockets.session import Session
from servicekit.errors import Reason
from tests.fuzz import wirebytes, wiremodel
from tests.fuzz.odd import Odd
from tests.fuzz.report import Report
from tests.fuzz.rooms import LIMITS, UNLIMITED, Rooms, Transport
from tests.support import contract

FRAMES_A_VISIT = 40
ANSWER_CODES = frozenset({Reason.VALIDATION_FAILED, Reason.NOT_FOUND})
"""What `frames.parse` may refuse a frame with."""
_CHECK_EVERY = 500
_TURNS = 2000


@dataclass
class Visit:
    """What one client says, in order."""

    data: bytes
    frames: int
    pieces: list[bytes]


def visit(odd: Odd, chance: random.Random) -> Visit:
    """One of every five says something that breaks the protocol, most likely, and then goes on."""
    parts: list[bytes] = []
    count = 0
    breaks = chance.random() < 0.2
    for number in range(chance.randint(1, FRAMES_A_VISIT)):
        if breaks and number and chance.random() < 0.1:
            parts.append(wirebytes.broken(odd.text(), chance))
            count += 1
        elif chance.random() < 0.05:
            parts.append(wirebytes.control(chance))
            count += 1
        else:
            data, frames_of_it = wirebytes.message(odd.text(), chance)
            parts.append(data)
            count += frames_of_it
    data = b"".join(parts)
    return Visit(data, count, wirebytes.cut(data, chance))


@dataclass
class Expected:
    """What has to come of a visit."""

    texts: list[bytes] = field(default_factory=list)
    pongs: list[bytes] = field(default_factory=list)
    closes: bool = False
    protocol_error: bool = False
    waits: bool = False
    """For the rest of what was begun."""


def expected(data: bytes) -> Expected:
    """As the contract and RFC 6455 have it."""
    heard = wiremodel.hear(data, longest=LIMITS.max_frame)
    found = Expected()
    for opcode, payload in heard.messages:
        if opcode == wiremodel.TEXT:
            found.texts.append(payload)
        elif opcode == wiremodel.PING:
            found.pongs.append(payload)
        elif opcode == wiremodel.CLOSE:
            found.closes = True
            return found
        elif opcode == wiremodel.BINARY:
            found.closes = found.protocol_error = True
            return found
    found.closes = found.protocol_error = heard.end is wiremodel.End.BROKEN
    found.waits = heard.end is wiremodel.End.WAITING
    return found


class Visitors:
    """Lets one in after the other."""

    def __init__(self, rooms: Rooms, report: Report, chance: random.Random) -> None:
        self._rooms = rooms
        self._report = report
        self._chance = chance
        self._handled: list[bytes] = []

    async def _handle(self, session: Session, payload: bytes) -> None:
        """As `Commands.handle`, up to what services are asked."""
        self._handled.append(payload)
        try:
            command = frames.parse(payload)
        except frames.FrameError as error:
            if error.problem.code not in ANSWER_CODES:
                self._report.note(f"{payload[:300]!r} is refused as {error.problem.code}")
            session.say(frames.error(error.reply_to, error.problem, "request"))
        else:
            self._report.counts["understood"] += 1
            session.say(frames.ack(command.reply_to))

    async def let_in(self, came: Visit, *, paces: Paces | None, stalled: bool) -> None:
        """Everything of one visit, and what came of it."""
        self._handled = []
        transport = Transport(stalled=stalled)
        session = self._rooms.session("visitor", self._handle, _nobody, paces=paces or UNLIMITED)
        socket = self._rooms.open(session, transport)
        for piece in came.pieces:
            if not transport.is_closing():
                socket.data_received(piece)
        wanted = expected(came.data)
        for _ in range(_TURNS):
            if socket.closing or len(self._handled) >= len(wanted.texts):
                break
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        if stalled or paces is not None:
            self._judge_limited(session, came, wanted)
        else:
            self._judge(socket.closing, transport, came, wanted)
        transport.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def _judge(self, closing: bool, transport: Transport, came: Visit, wanted: Expected) -> None:
        said = _said(bytes(transport.written))
        texts = [payload for opcode, payload in said if opcode == wiremodel.TEXT]
        pongs = [payload for opcode, payload in said if opcode == wiremodel.PONG]
        closes = [payload for opcode, payload in said if opcode == wiremodel.CLOSE]
        whole = not wanted.closes
        wrong = (
            closing is whole
            or len(closes) != int(wanted.closes)
            # What closes it is heard at once, and what was said before waits its turn: it may be thrown away.
            or self._handled != wanted.texts[: None if whole else len(self._handled)]
            or len(texts) > len(self._handled)
            or (whole and len(texts) != len(wanted.texts))
            or pongs != wanted.pongs
            or (wanted.protocol_error and int.from_bytes(closes[0][:2], "big") != Close.PROTOCOL_ERROR)
        )
        if wrong:
            self._report.note(f"{came.data[:2000]!r} in {len(came.pieces)} pieces came to {said[:20]!r}")
        self._report.counts["closed" if closing else "open to the end"] += 1
        for payload in texts:
            self._report.counts["answers"] += 1
            frame = orjson.loads(payload)
            if self._report.counts["answers"] % _CHECK_EVERY == 0:
                contract.check_frame(frame)

    def _judge_limited(self, session: Session, came: Visit, wanted: Expected) -> None:
        """Refused unread, closed as flooding or as too slow: nothing else may come of limits."""
        code = session.ended_with
        self._report.counts[f"limited, {'open' if code is None else code.name.lower()}"] += 1
        if code not in (None, Close.FLOODING, Close.SLOW_CONSUMER, Close.PROTOCOL_ERROR):
            self._report.note(f"{came.data[:2000]!r} under limits is closed with {code}")
        if any(payload not in wanted.texts for payload in self._handled):
            self._report.note(f"{came.data[:2000]!r} under limits: something is heard that was not said")


def _nobody(_session: Session) -> None:
    """Nobody has to know that it ended."""


def _said(data: bytes) -> list[tuple[int, bytes]]:
    """The server's frames: never masked, never in fragments."""
    found, at = [], 0
    while at < len(data):
        size, start = data[at + 1], at + 2
        if size == 126:
            size, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
        elif size == 127:
            size, start = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
        found.append((data[at] & 15, data[start : start + size]))
        at = start + size
    return found
