"""How many sockets a person has, over all edges: each has a lease, and one too many replaces the oldest.

A lease goes with its socket, or with its edge, which has to say every few seconds that it lives. Whom a new
lease replaces is told on the person's channel, on which the edge with that socket listens anyway. What cannot
be counted is allowed, as with rates.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, cast

import structlog
from redis.exceptions import RedisError

from edge_gateway.batches import Batches
from edge_gateway.sockets.session import Session
from servicekit.ids import new_id
from servicekit.realtime import channel
from servicekit.redis_commands import RedisCommands, Script, Word, is_unknown_script

_LUA = Path(__file__).parent.parent / "lua"
_BEAT = Script((_LUA / "edges.lua").read_text(encoding="utf-8"))
_TAKE = Script((_LUA / "lease.lua").read_text(encoding="utf-8"))
_EDGES = "edges"
_BEAT_S, _DEAD_AFTER_MS = 3.0, 10_000
"""Neither is a setting: all edges have to agree, and it is promised how long a dead edge's leases count."""
_FRESH_S = 0.1
"""How long ago it may have been asked who lives."""
_RELEASED_AT_ONCE = 500
"""In one round trip."""
_MOST_TOGETHER = 1000
"""Handshakes that one answer is for: it costs the same for all."""
_log = structlog.get_logger(__name__)


class Leases:
    """Leases of this edge's sockets. `limit`: of one person, over all edges. `max_age_s`: of a socket."""

    def __init__(self, commands: RedisCommands, *, limit: int, max_age_s: float) -> None:
        # Longer than any socket lives: a person's leases go after that, should their edges have died.
        self._kept_s = math.ceil(max_age_s) + 86_400
        self._commands = commands
        self._limit = limit
        self._live: Batches[None, list[bytes]] = Batches(self._beat_for, most=_MOST_TOGETHER)
        self._told_at = -math.inf
        self._told: list[bytes] = []
        """Who lives, and when that was asked."""
        self._edge = new_id().hex
        self._held: set[Session] = set()
        self._ended: deque[tuple[str, str]] = deque()
        self._news = asyncio.Event()

    async def take(self, session: Session, *, began: float) -> None:
        """The session counts from here on; who is one too many is closed, wherever they are.

        Redis is told, but its answer is not waited for: it changes nothing for this session. `began`: when
        its handshake did, by the event loop's clock. Who lives is asked after that, because an edge may have
        come a moment ago; of many handshakes at once one asks for all.
        """
        self._held.add(session)
        try:
            live = await self._living(began)
        except (RedisError, OSError) as error:
            _log.warning("lease_not_taken", error=type(error).__name__)
            return
        user = session.user_id
        bounds = self._limit, self._kept_s
        command: list[Word] = [1, _key(user), channel(user), *bounds, self._name(session), *live]
        taken = self._commands.call("EVALSHA", _TAKE.sha, *command)
        taken.add_done_callback(partial(self._taken, session, command))

    def _taken(self, session: Session, command: Sequence[Word], taken: asyncio.Future[Any]) -> None:
        error = None if taken.cancelled() else taken.exception()
        if error is None or session not in self._held:
            return
        if is_unknown_script(error):
            taken = self._commands.call("EVAL", _TAKE.source, *command)
            taken.add_done_callback(partial(self._taken, session, command))
        else:
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
                await self._beat()
                await self._give_back()
            except (RedisError, OSError) as error:
                _log.warning("leases_not_renewed", error=type(error).__name__)
                self._news.clear()  # what could not be given back waits for the next beat
            await self._pause(stop)
        try:
            await self._commands.call("ZREM", _EDGES, self._edge)
        except (RedisError, OSError) as error:
            _log.warning("leases_not_ended", error=type(error).__name__)

    async def _give_back(self) -> None:
        while self._ended:
            some = list(islice(self._ended, _RELEASED_AT_ONCE))
            given = (self._commands.call("ZREM", key, name) for key, name in some)
            for answer in await asyncio.gather(*given, return_exceptions=True):
                if isinstance(answer, BaseException):
                    raise answer
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
        args: list[Word] = [self._edge, _DEAD_AFTER_MS]
        return cast("list[bytes]", await self._commands.run(_BEAT, [_EDGES], args))

    async def _living(self, began: float) -> list[bytes]:
        if self._told_at > max(began, asyncio.get_running_loop().time() - _FRESH_S):
            return self._told
        return await self._live.ask(None)

    async def _beat_for(self, asked: Sequence[None]) -> Sequence[list[bytes]]:
        asked_at = asyncio.get_running_loop().time()
        live = await self._beat()
        if asked_at > self._told_at:
            self._told_at, self._told = asked_at, live
        return [live] * len(asked)

    def _name(self, session: Session) -> str:
        return f"{self._edge}:{session.id}"


def _key(user_id: str) -> str:
    return f"{{sockets:{user_id}}}"
