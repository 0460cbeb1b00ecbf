"""Clients of a running edge who say anything, over sockets: what is said back is held against what may be."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import orjson

from edge_gateway.sockets.codes import Close
from servicekit.errors import Reason
from tests.fuzz import wirebytes, wiremodel
from tests.fuzz.odd import Odd
from tests.fuzz.report import Report
from tests.fuzz.visits import Visit, expected, visit
from tests.support import contract
from tests.support.rawsocket import RawSocket, frame

ANSWER_CODES = frozenset(
    {
        Reason.VALIDATION_FAILED,
        Reason.NOT_FOUND,
        Reason.FORBIDDEN,
        Reason.UNAUTHENTICATED,
        Reason.RATE_LIMITED,
        Reason.UNAVAILABLE,
    }
)
"""What a frame may be answered with. `internal` is a fault of ours."""
_ANSWERS = (b'{"type":"ack"', b'{"type":"error"')
"""All else is an event, and some are odd: the edge does not parse what it forwards."""
_SENTINEL = b'{"type":"message.send","id":"the last"}'
_CHECK_EVERY = 200
_PATIENCE_S = 60.0
_DOOR_PATIENCE_S = 0.5
_LOST = (ConnectionError, asyncio.IncompleteReadError)


class Stranger:
    """One person, who comes again and again."""

    def __init__(self, edge_url: str, token: str, odd: Odd, report: Report, chance: random.Random) -> None:
        self._edge_url = edge_url
        self._token = token
        self._odd = odd
        self._report = report
        self._chance = chance
        self._cursor = ""

    async def come(self) -> int:
        """One visit; how many frames were said."""
        if self._chance.random() < 0.03:
            await self._knock()
            return 0
        came = visit(self._odd, self._chance)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await self._visit(came)
        except TimeoutError:
            self._report.note(f"no end came of {came.data[:2000]!r}")
            return came.frames

    async def _visit(self, came: Visit) -> int:
        resumes = bool(self._cursor) and self._chance.random() < 0.3
        query = f"cursor={self._cursor}" if resumes else ""
        raw = await RawSocket.connect(f"{self._edge_url}/ws/chat", self._headers(), query=query)
        try:
            if raw.status != 101:
                self._report.counts[f"refused with {raw.status}"] += 1
                if raw.status not in (429, 503):
                    self._report.note(f"a good handshake was refused with {raw.status}: {raw.body[:300]!r}")
                await asyncio.sleep(0.2)  # as it was told: not at once
                return 0
            if not await self._caught_up(raw):
                self._report.note(f"a socket was closed before it had caught up with {query!r}")
                return 0
            for piece in came.pieces:
                if raw.writer.transport.is_closing():
                    break
                raw.send(piece)
            await self._listen(raw, came)
        except _LOST:
            # What closes a connection may be overtaken by its end.
            self._report.counts["cut"] += 1
        finally:
            raw.abort()
        return came.frames

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}", "Sec-WebSocket-Protocol": "chat.v1"}

    async def _caught_up(self, raw: RawSocket) -> bool:
        while True:
            opcode, payload = await raw.receive()
            if opcode == wiremodel.CLOSE:
                return False
            if opcode == wiremodel.TEXT and b'"system.caught_up"' in payload:
                self._cursor = orjson.loads(payload).get("cursor", self._cursor)
                return True

    async def _listen(self, raw: RawSocket, came: Visit) -> None:
        """To the end of the visit, and whether it is the right one."""
        wanted = expected(came.data)
        if not wanted.closes:
            if wanted.waits:
                self._report.counts["left unfinished"] += 1
                return
            raw.send(frame(_SENTINEL))
        answers, pongs = 0, []
        while True:
            opcode, payload = await raw.receive()
            if opcode == wiremodel.PONG:
                pongs.append(payload)
            elif opcode == wiremodel.CLOSE:
                self._closed(int.from_bytes(payload[:2], "big"), wanted.closes, wanted.protocol_error, came)
                return
            elif opcode == wiremodel.TEXT and payload.startswith(_ANSWERS):
                told = orjson.loads(payload)
                if told.get("replyTo") == "the last":
                    break
                answers += 1
                self._answered(told, payload)
        if wanted.closes or answers > len(wanted.texts) or pongs != wanted.pongs:
            self._report.note(
                f"{came.data[:2000]!r} had {answers} answers and {len(pongs)} pongs, and no end"
            )
        self._report.counts["heard to the end"] += 1

    def _closed(self, code: int, closes: bool, protocol_error: bool, came: Visit) -> None:
        self._report.counts[f"closed with {code}"] += 1
        # An event of this person's may have been one that cannot be told: that ends their sockets, too.
        right = (protocol_error and code == Close.PROTOCOL_ERROR) or (closes and not protocol_error)
        if not right and code not in (Close.RESTART, Close.FLOODING):
            self._report.note(f"{came.data[:2000]!r} closed the socket with {code}")

    def _answered(self, told: dict[str, object], payload: bytes) -> None:
        self._report.counts["answers"] += 1
        problem = told.get("problem")
        if isinstance(problem, dict):
            self._report.counts[f"answered {problem['code']}"] += 1
            if problem["code"] not in ANSWER_CODES:
                self._report.note(f"answered {payload[:500]!r}")
        if self._report.counts["answers"] % _CHECK_EVERY == 0:
            contract.check_frame(told)

    async def _knock(self) -> None:
        """A handshake that is none, or nearly one: an answer below 500, the end, or nothing so far."""
        host, port = self._edge_url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        data = self._handshake()
        try:
            for piece in wirebytes.cut(data, self._chance):
                writer.write(piece)
            async with asyncio.timeout(_DOOR_PATIENCE_S):
                head = await reader.read(12)
            status = int(head[9:12]) if head[9:12].isdigit() else 0
            self._report.counts[f"knocked, {status or 'cut'}"] += 1
            if status >= 500 and status != 503:
                self._report.note(f"{data!r} was answered {head!r}")
        except TimeoutError:
            self._report.counts["knocked, nothing yet"] += 1
        except _LOST:
            self._report.counts["knocked, cut"] += 1
        finally:
            writer.transport.abort()

    def _handshake(self) -> bytes:
        lines = [
            b"GET /ws/chat HTTP/1.1",
            b"Host: x",
            b"Upgrade: websocket",
            b"Connection: Upgrade",
            b"Sec-WebSocket-Version: 13",
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            b"Authorization: Bearer " + self._token.encode(),
            b"Sec-WebSocket-Protocol: chat.v1, bearer.x",
        ]
        match self._chance.randrange(4):
            case 0:
                del lines[self._chance.randrange(len(lines))]
            case 1:
                lines.insert(self._chance.randrange(1, len(lines)), self._odd.text()[:200])
            case 2:
                at = self._chance.randrange(len(lines))
                lines[at] = lines[at][: self._chance.randrange(len(lines[at]))] + self._chance.randbytes(3)
            case _:
                return self._chance.randbytes(self._chance.randrange(1, 200)) + b"\r\n\r\n"
        return b"\r\n".join(lines) + b"\r\n\r\n" + self._odd.text()


async def storm_in(strangers: Sequence[Stranger], frames: int, said: list[int]) -> None:
    """All of them come, again and again, until so many frames are said; `said` counts them."""

    async def comes(stranger: Stranger) -> None:
        while sum(said) < frames:
            said.append(await stranger.come())

    async with asyncio.TaskGroup() as group:
        for each in strangers:
            group.create_task(comes(each))
