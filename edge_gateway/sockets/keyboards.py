"""Who types on this edge: what its sockets say of it, passed on no more often than it may be.

A start is passed on at once and then once in a while; those in between are left out, and nobody is told that
they were. A stop is passed on only where a start was, also when a socket closes while somebody types on it.
If that is lost, as when this edge is killed, the edges of those who were told end it (`typists`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context

import structlog

from edge_gateway.metrics import Metrics
from edge_gateway.sockets.session import Session
from servicekit.errors import ChatError
from servicekit.identity import ActingUser

Tell = Callable[[ActingUser, str, bool], Awaitable[None]]
"""Somebody types in a conversation, or has stopped. Raises ChatError."""
_log = structlog.get_logger(__name__)


class _Key:
    """What one socket said of one conversation."""

    __slots__ = ("at", "typing")

    def __init__(self, at: float) -> None:
        self.at = at
        """When a start was passed on, in seconds of the event loop."""
        self.typing = False
        """It was, and no stop since."""


class Keyboards:
    """`every_s`: a start is passed on no more often; `lapse_s`: after that it counts as over by itself."""

    def __init__(self, tell: Tell, metrics: Metrics, *, every_s: float, lapse_s: float) -> None:
        self._tell = tell
        self._metrics = metrics
        self._every_s = every_s
        self._lapse_s = lapse_s
        self._keys: dict[Session, dict[str, _Key]] = {}
        self._stops: set[asyncio.Task[None]] = set()

    async def typed(self, session: Session, conversation_id: str, *, started: bool) -> None:
        """What a client says. Raises ChatError: NOT_FOUND when the person is not in that conversation."""
        now = asyncio.get_running_loop().time()
        keys = self._fresh(session, now)
        key = keys.get(conversation_id)
        if started:
            if key is not None and now - key.at < self._every_s:
                self._metrics.typing_dropped.add(1)
                return
            self._keys[session] = keys
            before, key = key, _Key(now)
            keys[conversation_id] = key
            try:
                await self._tell(session.principal.user, conversation_id, True)
            except ChatError:
                # Nobody heard of it: the next one is not too early, and is answered by what holds then.
                if before is None:
                    del keys[conversation_id]
                else:
                    keys[conversation_id] = before
                raise
            key.typing = True
            if session.closed:
                self._stop_later(session, conversation_id)  # it closed meanwhile
        elif key is not None and key.typing:
            key.typing = False
            await self._tell(session.principal.user, conversation_id, False)

    def forget(self, session: Session) -> None:
        """The socket is gone, and whoever typed on it has stopped. Repeatable."""
        keys = self._fresh(session, asyncio.get_running_loop().time())
        self._keys.pop(session, None)
        for conversation_id, key in keys.items():
            if key.typing:
                self._stop_later(session, conversation_id)

    async def close(self) -> None:
        """Returns when every stop is passed on, or has failed."""
        while self._stops:
            await asyncio.wait(self._stops)

    def _fresh(self, session: Session, now: float) -> dict[str, _Key]:
        """What still counts of what a socket said."""
        kept_s = max(self._every_s, self._lapse_s)
        return {where: key for where, key in self._keys.get(session, {}).items() if now - key.at < kept_s}

    def _stop_later(self, session: Session, conversation_id: str) -> None:
        stopping = asyncio.get_running_loop().create_task(
            self._stop(session.principal.user, conversation_id), context=Context()
        )
        self._stops.add(stopping)
        stopping.add_done_callback(self._stops.discard)

    async def _stop(self, user: ActingUser, conversation_id: str) -> None:
        try:
            await self._tell(user, conversation_id, False)
        except ChatError as error:
            _log.info("typing_not_stopped", reason=error.reason.value)  # it ends by itself
