"""What presence_svc is told of this edge's sockets: that they are here, still here, gone.

A word for a socket is a lease there, which lapses when it is not renewed. Words gather for a moment and leave
together, one call at a time, behind everything else that a socket does: of several about one socket only the
last counts. While presence_svc is away they wait here, as many as there may be sockets; those beyond are
forgotten, the oldest first: what is true is said again with the next sign of life, or lapses.

Somebody who looks at another's account does not make that person appear: their sockets are not reported.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from itertools import islice

import structlog
from splits.chat.presence.v1 import service_pb2 as presence_rpc

from edge_gateway.metrics import Metrics
from edge_gateway.sockets.session import Session
from servicekit.errors import ChatError

_MOST_TOGETHER = 1000
"""In one call, as the contract has it. After one that failed half as many, down to the fewest, because it may
have been too much for the time that it had. Neither is a setting: they follow from the contract.
"""
_FEWEST_TOGETHER = 50
_COMPLAIN_EVERY_S = 30.0
"""A line of the log, no more; what is not told is counted."""
_log = structlog.get_logger(__name__)

Tell = Callable[[Sequence[presence_rpc.Connection]], Awaitable[None]]
"""Tells presence_svc. Raises ChatError."""


@dataclass(frozen=True, slots=True)
class Times:
    """In seconds."""

    every_s: float
    """Between renewals of a socket, at least."""
    gather_s: float
    """How long words are gathered."""
    retry_s: float
    """How long they wait after nobody was there to hear them."""
    last_s: float
    """For what is left at the end."""


class Reports:
    """Of one edge. `most_waiting`: sockets, > 0."""

    def __init__(self, tell: Tell, metrics: Metrics, times: Times, *, most_waiting: int) -> None:
        self._tell = tell
        self._metrics = metrics
        self._times = times
        self._most_waiting = most_waiting
        self._together = _MOST_TOGETHER
        self._words: dict[str, presence_rpc.Connection] = {}
        self._telling: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()
        self._complained_at = -_COMPLAIN_EVERY_S
        metrics.presence_waiting.set_function(lambda: len(self._words))

    def opened(self, session: Session) -> None:
        """It is live, and somebody looks at it."""
        self.alive(session)

    def alive(self, session: Session) -> None:
        """A sign of life: renews the lease when it is time."""
        last = session.reported_at
        if last is None or time.monotonic() - last >= self._times.every_s:
            self._say(session)

    def ping(self, session: Session, *, away: bool | None) -> None:
        """The client says so. `away`: nobody looks at it; None = as before."""
        changed = away is not None and away is not session.away
        if changed:
            session.away = not session.away
            self._say(session)
        else:
            self.alive(session)

    def closed(self, session: Session) -> None:
        """It is gone. Repeatable."""
        if session.reported_at is not None:
            session.reported_at = None
            self._note(session, presence_rpc.STATUS_OFFLINE)

    async def close(self) -> None:
        """Tells what is left, for some seconds; the rest will lapse."""
        self._ending.set()
        if self._telling is not None:
            _, late = await asyncio.wait({self._telling}, timeout=self._times.last_s)
            for each in late:
                each.cancel()

    def _say(self, session: Session) -> None:
        if session.closed:
            return
        if session.principal.read_only:
            self.closed(session)  # perhaps only since its last token
            return
        session.reported_at = time.monotonic()
        self._note(session, presence_rpc.STATUS_AWAY if session.away else presence_rpc.STATUS_ONLINE)

    def _note(self, session: Session, status: presence_rpc.Status.ValueType) -> None:
        name = str(session.id)
        if len(self._words) >= self._most_waiting and name not in self._words:
            del self._words[next(iter(self._words))]
            self._metrics.presence_reports.labels(outcome="forgotten").inc()
        self._words[name] = presence_rpc.Connection(
            user_id=session.user_id, connection_id=name, status=status
        )
        if self._telling is None:
            self._telling = asyncio.get_running_loop().create_task(self._tell_all(), context=Context())

    async def _tell_all(self) -> None:
        try:
            while self._words:
                await self._pause(self._times.gather_s)
                batch = {name: self._words[name] for name in islice(self._words, self._together)}
                for name in batch:
                    del self._words[name]
                if not await self._told(batch):
                    if self._ending.is_set():
                        return
                    await self._pause(self._times.retry_s)
        finally:
            self._telling = None

    async def _told(self, batch: dict[str, presence_rpc.Connection]) -> bool:
        """Whether presence_svc was there to hear it."""
        outcome = "told"
        try:
            await self._tell(list(batch.values()))
        except ChatError as error:
            outcome = "failed" if error.retryable else "refused"
            self._complain(error)
        self._metrics.presence_reports.labels(outcome=outcome).inc(len(batch))
        if outcome != "failed":
            self._together = _MOST_TOGETHER
            return True
        self._together = max(_FEWEST_TOGETHER, len(batch) // 2)
        for name, word in batch.items():
            self._words.setdefault(name, word)  # what was said meanwhile is newer
        return False

    def _complain(self, error: ChatError) -> None:
        now = time.monotonic()
        if now - self._complained_at >= _COMPLAIN_EVERY_S:
            self._complained_at = now
            _log.warning("presence_not_reported", reason=error.reason, waiting=len(self._words))

    async def _pause(self, seconds: float) -> None:
        """Unless it ends: then nothing is waited for."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ending.wait()
