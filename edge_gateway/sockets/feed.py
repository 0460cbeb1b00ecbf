"""One user's events on their way to that user's sockets, in order.

An event whose data has to be joined makes those behind it wait, so that none overtakes it. When the data
cannot be had, the user's sockets are closed instead of leaving the event out: they come back to the truth.
What waits is kept without bodies and looked up when it is told.
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice

import structlog

from edge_gateway.sockets import wire
from edge_gateway.sockets.codes import Close
from edge_gateway.sockets.events import Event, published
from edge_gateway.sockets.hydration import BATCH, Hydration
from edge_gateway.sockets.session import Session

_REPLACED = b"!replaced "
"""What `lua/lease.lua` says on a channel: the socket whose id follows is one too many."""
_log = structlog.get_logger(__name__)


class Feed:
    """The sockets of one user on this edge. `max_waiting`: events."""

    __slots__ = (
        "_hydration",
        "_joining",
        "_max_waiting",
        "_received",
        "_subscribed",
        "_waiting",
        "_worker",
        "sessions",
    )

    def __init__(self, subscribed: asyncio.Future[None], hydration: Hydration, *, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._subscribed: asyncio.Future[None] | None = subscribed
        """Done once Redis has confirmed the channel; None when it has."""
        self._joining: list[asyncio.Future[None]] = []
        """Of those who wait for that. Each has its own: who goes away must not end it for the others."""
        subscribed.add_done_callback(self._confirmed)
        self.sessions: list[Session] = []
        self._hydration = hydration
        self._received = 0
        """Events are numbered as they come in: the number says which of them a session has had otherwise."""
        self._waiting: deque[tuple[int, Event]] | None = None
        self._worker: asyncio.Task[None] | None = None

    def admit(self, session: Session) -> None:
        """From here on the session has every event; those before are in what it reads afterwards."""
        session.had = self._received
        self.sessions.append(session)

    async def listening(self) -> None:
        """Returns once Redis has confirmed the channel. Raises what the subscription failed with."""
        subscribed = self._subscribed
        if subscribed is None:
            return
        if subscribed.done():
            subscribed.result()
            return
        confirmed: asyncio.Future[None] = subscribed.get_loop().create_future()
        self._joining.append(confirmed)
        await confirmed

    def _confirmed(self, subscribed: asyncio.Future[None]) -> None:
        joining, self._joining = self._joining, []
        failure = None if subscribed.cancelled() else subscribed.exception()
        if failure is None and not subscribed.cancelled():
            self._subscribed = None
        for each in joining:
            if each.done():
                continue
            if failure is not None:
                each.set_exception(failure)
            elif subscribed.cancelled():
                each.cancel()
            else:
                each.set_result(None)

    def receive(self, payload: bytes) -> None:
        """What the user's channel carried."""
        if payload.startswith(_REPLACED):
            self._replace(payload.removeprefix(_REPLACED))
            return
        try:
            came = published(payload)
            opening = [session for session in self.sessions if session.opening]
            waits = self._worker is not None or came.needs_join
            kept = came.event() if opening or waits else None
        except ValueError:
            _log.error("event_unreadable", size=len(payload))
            return
        self._received += 1
        if kept is not None:
            for session in opening:
                session.hold(self._received, kept)
        if not waits:
            self._write(self._received, came.forwarded())
        elif kept is not None and len(opening) < len(self.sessions):
            if self._waiting is None:
                self._waiting = deque()
            self._waiting.append((self._received, kept))
            if len(self._waiting) > self._max_waiting:
                self.end(Close.RESTART)
            elif self._worker is None:
                self._worker = asyncio.create_task(self._work())

    def _replace(self, session_id: bytes) -> None:
        for session in tuple(self.sessions):
            if session.id.encode() == session_id:
                session.end(Close.REPLACED)

    def end(self, code: Close) -> None:
        """Closes the user's sockets; what waits is theirs no more."""
        self._waiting = None
        for session in tuple(self.sessions):
            session.end(code)

    def stop(self) -> None:
        """Nobody listens any more."""
        self._waiting = None
        if self._worker is not None:
            self._worker.cancel()

    def _write(self, number: int, frame: bytes) -> None:
        ready = wire.text_frame(frame)
        for session in tuple(self.sessions):
            session.deliver(number, ready)

    async def _work(self) -> None:
        try:
            while self._waiting and self.sessions:
                batch = list(islice(self._waiting, BATCH))
                user = self.sessions[-1].principal.user
                frames = await self._hydration.frames(user, [event for _, event in batch])
                if frames is None:
                    self.end(Close.RESTART)
                elif self._waiting and self._waiting[0] is batch[0]:
                    for (number, _), frame in zip(batch, frames, strict=True):
                        if self._waiting is None:
                            break  # the last socket went with the frame before
                        self._waiting.popleft()
                        if frame is not None:
                            self._write(number, frame)
        finally:
            self._worker = None
