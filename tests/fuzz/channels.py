"""What Redis may bring: odd payloads on the channels that an edge listens on, and odd entries of a stream.

Somebody is connected all the while, and every good event between the odd ones has to reach them.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import orjson

from edge_gateway.joins import Current
from edge_gateway.metrics import Metrics
from edge_gateway.sockets import ephemeral, events
from edge_gateway.sockets.everybody import Everybody
from edge_gateway.sockets.feed import Feed
from edge_gateway.sockets.hydration import Hydration
from edge_gateway.sockets.session import Session
from edge_gateway.sockets.socket import Socket
from servicekit import control
from servicekit.clock import SystemClock
from tests.fuzz.odd import Odd
from tests.fuzz.report import Report
from tests.fuzz.rooms import LIMITS, Rooms, Transport

PEOPLE = ("ada", "bob", "eve")
_WHERE = "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"
_PATIENCE_S = 0.05
_TURNS = 4000


def _event(name: str, data: Mapping[str, Any], where: str | None = _WHERE) -> dict[str, Any]:
    """As the publisher makes it. Long ago: what is not there for its receiver is not waited for."""
    frame: dict[str, Any] = {
        "type": name,
        "eventId": "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5c",
        "eventVersion": 1,
    }
    frame["occurredAt"] = "2020-01-02T03:04:05.678Z"
    return frame | ({} if where is None else {"conversationId": where}) | {"data": data}


PUBLISHED = (
    _event("message.created", {"message": {"id": "m", "seq": 7, "changeSeq": 9, "text": "hi"}}),
    _event("message.updated", {"message": {"seq": 1, "redactedAt": None}}),
    _event("message.deleted", {"messageId": "m", "seq": 3, "changeSeq": 4}),
    _event("conversation.updated", {}),
    _event("conversation.requested", {}),
    _event("read.receipt", {"userId": "bob", "lastReadSeq": 3, "at": "2020-01-02T03:04:05.678Z"}),
    _event("block.created", {"userId": "bob", "version": 1}, None),
)
ANNOUNCED = (
    _event(
        "system.notice", {"noticeId": "n", "code": "maintenance", "severity": "info", "text": "soon"}, None
    ),
    _event("presence.updated", {"userId": "bob", "status": "online", "lastSeenAt": None}, None),
    _event("typing.started", {"userId": "bob"}),
)
NEWS = ({"kind": "relations", "userIds": ["ada", "bob"]}, {"kind": "access", "userIds": ["eve"]})
REFS = ({"messageId": "m", "seq": 3, "changeSeq": 4}, {"userId": "bob", "lastReadSeq": 3})
_FIELDS = (b"type", b"eventId", b"at", b"refs", b"conversationId")


async def _nothing(*_asked: object) -> Current:
    return Current({}, {})


class Bringer:
    """Brings odd payloads to the feeds of people who are there."""

    def __init__(self, report: Report, chance: random.Random) -> None:
        self._report = report
        self._chance = chance
        metrics, clock = Metrics(), SystemClock()
        self._hydration = Hydration(_nothing, metrics, clock, patience_s=_PATIENCE_S)
        self._sockets: set[Socket] = set()
        self._everybody = Everybody(
            self._sockets, metrics, max_bytes=LIMITS.max_ephemeral, max_waiting=1024 * 1024
        )
        self._feeds: dict[str, Feed] = {}
        self._rooms = Rooms(self._hydration, metrics, on_gone=self._sockets.discard)
        self._there: dict[str, tuple[Session, Transport]] = {}
        self._published = Odd(chance, PUBLISHED)
        self._announced = Odd(chance, ANNOUNCED)
        self._news = Odd(chance, NEWS)
        self._refs = Odd(chance, REFS)
        self._ways: tuple[Callable[[], None], ...] = (
            self._to_somebody,
            self._to_somebody,
            self._to_somebody,
            self._to_everybody,
            self._from_a_stream,
            self._from_a_stream,
            self._news_of_any_kind,
            self._on_screen,
        )

    async def bring(self, number: int) -> None:
        """So many odd payloads, then a good event to each, which has to arrive."""
        for user_id in PEOPLE:
            await self._come(user_id)
        for _ in range(number):
            try:
                self._chance.choice(self._ways)()
            except Exception as error:  # noqa: BLE001 - the finding
                self._report.note(f"raised {error!r}")
        for user_id in PEOPLE:
            await self._come(user_id)  # who was closed on the way comes back, as clients do
            await self._good(user_id)

    async def _come(self, user_id: str) -> None:
        session, _ = self._there.get(user_id, (None, None))
        if session is not None and session.ended_with is None:
            return
        if session is not None:
            self._report.counts[
                f"closed, {session.ended_with.name.lower() if session.ended_with else ''}"
            ] += 1
        transport = Transport()
        session = self._rooms.session(user_id, _ignore, self._leave)
        if user_id not in self._feeds:
            confirmed = asyncio.get_running_loop().create_future()
            confirmed.set_result(None)
            self._feeds[user_id] = Feed(confirmed, self._hydration, max_waiting=1000)
        self._feeds[user_id].admit(session)
        self._sockets.add(self._rooms.open(session, transport))
        self._there[user_id] = session, transport

    def _leave(self, session: Session) -> None:
        """As the hub does it."""
        feed = self._feeds[session.user_id]
        feed.sessions.remove(session)
        if not feed.sessions:
            del self._feeds[session.user_id]
            feed.stop()

    async def _good(self, user_id: str) -> None:
        mark = uuid.UUID(int=self._chance.getrandbits(128)).hex
        frame = _event("read.receipt", {"userId": mark, "lastReadSeq": 1, "at": "2020-01-02T03:04:05.678Z"})
        session, transport = self._there[user_id]
        self._feeds[user_id].receive(b"17-1\n" + orjson.dumps(frame))
        for _ in range(_TURNS):
            if mark.encode() in transport.written or session.ended_with is not None:
                break
            await asyncio.sleep(0.0005)
        if mark.encode() in transport.written:
            self._report.counts["good events told"] += 1
        elif session.ended_with is None:
            self._report.note(f"a good event did not reach {user_id}")
        transport.written.clear()

    def _to_somebody(self) -> None:
        cursor = self._chance.choice((b"17-1", b"17-1", b"", b"\xff", b'17-1"', b"1" * 100))
        newline = b"\n" if self._chance.random() < 0.95 else b""
        payload = cursor + newline + self._published.text()
        if self._chance.random() < 0.02:
            payload = b"!replaced " + self._chance.choice((b"", b"\xff", b"x" * 100, payload))
        feed = self._feeds.get(self._chance.choice(PEOPLE))
        if feed is not None:  # they may just have been closed
            feed.receive(payload)

    def _to_everybody(self) -> None:
        self._everybody.receive(self._announced.text())

    def _from_a_stream(self) -> None:
        members = {key: self._chance.choice((b"x", b"", b"\xff", _WHERE.encode())) for key in _FIELDS}
        members[b"type"] = self._chance.choice((b"message.created", b"conversation.updated", b"x", b"\xff"))
        members[b"at"] = self._chance.choice((b"2020-01-02T03:04:05.678Z", b"now", b"2020-01-02", b""))
        members[b"refs"] = self._refs.text()
        if self._chance.random() < 0.2:
            del members[self._chance.choice(_FIELDS)]
        with suppress(ValueError):
            entry = events.stored(self._chance.choice((b"17-1", b"\xff", b"")), members)
            self._report.counts["entries understood"] += 1
            entry.frame({})

    def _on_screen(self) -> None:
        listed = self._chance.choice((b'["ada"]\n', b"[]\n", b"{}\n", b"[1]\n", b"\xff\n", b"\n", b""))
        with suppress(ValueError):
            ephemeral.typed(listed + self._announced.text())
            self._report.counts["typing understood"] += 1
        with suppress(ValueError):
            ephemeral.presence(self._announced.text())
            self._report.counts["presence understood"] += 1

    def _news_of_any_kind(self) -> None:
        with suppress(ValueError):
            news = control.decode(self._news.text())
            self._report.counts["news understood"] += 1
            control.encode(news)


async def _ignore(_session: Session, _payload: bytes) -> None:
    """Nobody says anything here."""
