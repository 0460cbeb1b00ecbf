"""How many sockets a person has, over all edges: each has a lease, and one too many replaces the oldest.

A lease goes with its socket, or with its edge, which has to say every few seconds that it lives. Whom a new
lease replaces is told on the person's channel, on which the edge with that socket listens anyway. What cannot
be counted is allowed, as with rates.
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice
from pathlib import Path
from typing import cast

import redis.asyncio as redis
import structlog
from redis.exceptions import RedisError

from edge_gateway.sockets.session import Session
from servicekit.ids import new_id
from servicekit.realtime import channel

_LUA = Path(__file__).parent.parent / "lua"
_EDGES = "edges"
_BEAT_S, _DEAD_AFTER_MS = 3.0, 10_000
_KEPT_S = 7 * 86_400
"""Longer than any socket lives: a person's leases go after that, should their edges have died."""
_RELEASED_AT_ONCE = 500
_WAIT_S = 1.0
_log = structlog.get_logger(__name__)


class Leases:
    """Leases of this edge's sockets. `limit`: of one person, over all edges."""

    def __init__(self, client: redis.Redis, *, limit: int) -> None:
        self._redis = client
        self._live = client.register_script((_LUA / "edges.lua").read_text(encoding="utf-8"))
        self._take = client.register_script((_LUA / "lease.lua").read_text(encoding="utf-8"))
        self._limit = limit
        self._edge = new_id().hex
        self._held: set[Session] = set()
        self._ended: deque[tuple[str, str]] = deque()
        self._news = asyncio.Event()

    async def take(self, session: Session) -> None:
        """The session counts from here on; who is one too many is closed, wherever they are."""
        user, name = session.user_id, self._name(session)
        self._held.add(session)
        try:
            async with asyncio.timeout(_WAIT_S):
                live = await self._beat()
                args: list[str | bytes | int] = [channel(user), self._limit, _KEPT_S, name, *live]
                await self._take(keys=[_key(user)], args=args)
        except (RedisError, OSError) as error:
            _log.warning("lease_not_taken", error=type(error).__name__)

    def release(self, session: Session) -> None:
        """The socket is gone, or never came to be. Repeatable."""
        if session in self._held:
            self._held.remove(session)
            self._ended.append((_key(session.user_id), self._name(session)))
            self._news.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Says that this edge lives, and gives back leases, until `stop` is set; then all at once."""
        while not stop.is_set():
            try:
                async with asyncio.timeout(_WAIT_S):
                    await self._beat()
                await self._give_back()
            except (RedisError, OSError) as error:
                _log.warning("leases_not_renewed", error=type(error).__name__)
                self._news.clear()  # what could not be given back waits for the next beat
            await self._pause(stop)
        try:
            async with asyncio.timeout(_WAIT_S):
                await self._redis.zrem(_EDGES, self._edge)
        except (RedisError, OSError) as error:
            _log.warning("leases_not_ended", error=type(error).__name__)

    async def _give_back(self) -> None:
        while self._ended:
            some = list(islice(self._ended, _RELEASED_AT_ONCE))
            async with asyncio.timeout(_WAIT_S), self._redis.pipeline(transaction=False) as pipe:
                for key, name in some:
                    pipe.zrem(key, name)
                await pipe.execute()
            for _ in some:
                self._ended.popleft()
        self._news.clear()

    async def _pause(self, stop: asyncio.Event) -> None:
        """Until the next beat, or there is something to do."""
        waits = {asyncio.create_task(self._news.wait()), asyncio.create_task(stop.wait())}
        await asyncio.wait(waits, timeout=_BEAT_S, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _beat(self) -> list[bytes]:
        return cast("list[bytes]", await self._live(keys=[_EDGES], args=[self._edge, _DEAD_AFTER_MS]))

    def _name(self, session: Session) -> str:
        return f"{self._edge}:{session.id}"


def _key(user_id: str) -> str:
    return f"{{sockets:{user_id}}}"
