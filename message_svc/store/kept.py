"""Connections kept for whoever needs one again soon.

asyncpg's pool lends and takes back a connection in turns of the loop of their own, and takes it back in a
task: some 90 µs of a statement that costs a process 430. Under load the next use is there in a millisecond.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import TracebackType

import asyncpg
from asyncpg.pool import PoolConnectionProxy

# The pool closes connections that have done much. It can only when it gets them back.
_LENT_FOR_S = 60.0


@dataclass(slots=True, eq=False)
class _Lent:
    """A connection that the pool has lent; times are the loop's."""

    conn: PoolConnectionProxy
    since: float
    used_at: float


class KeptConnections:
    """Lends connections of `pool` as its `acquire` does, and keeps them for `keep_s` after their last use.

    At most `most` of them, and half of the pool: who needs one of the rest does not wait for these.
    """

    def __init__(self, pool: asyncpg.Pool, *, most: int, keep_s: float) -> None:
        self._pool = pool
        self._most = min(most, pool.get_max_size() // 2) if keep_s > 0 else 0
        self._keep_s = keep_s
        self._kept: list[_Lent] = []
        self._timer: asyncio.TimerHandle | None = None
        self._returning: set[asyncio.Task[None]] = set()

    def acquire(self) -> _Use:
        """`async with kept.acquire() as conn`. Raises what the pool raises."""
        return _Use(self)

    async def close(self) -> None:
        """Gives all back that are not in use, and keeps none from now on."""
        self._most = 0
        if self._timer is not None:
            self._timer.cancel()
        while self._kept:
            await self._pool.release(self._kept.pop().conn)
        if self._returning:
            await asyncio.wait(self._returning)

    async def lend(self) -> _Lent:
        """One for `take_back`."""
        while self._kept:
            lent = self._kept.pop()
            if _is_open(lent.conn):
                return lent
            await self._pool.release(lent.conn)
        conn = await self._pool.acquire()
        now = asyncio.get_running_loop().time()
        return _Lent(conn, now, now)

    async def take_back(self, lent: _Lent, *, failed: bool) -> None:
        """Keeps it, unless what it was used for `failed`: the pool looks after that."""
        loop = asyncio.get_running_loop()
        lent.used_at = loop.time()
        if (
            failed
            or len(self._kept) >= self._most
            or lent.used_at - lent.since > _LENT_FOR_S
            or not _is_open(lent.conn)
            or lent.conn.is_in_transaction()
        ):
            await self._pool.release(lent.conn)
            return
        self._kept.append(lent)
        if self._timer is None:
            self._timer = loop.call_later(self._keep_s, self._return_unused)

    def _return_unused(self) -> None:
        loop = asyncio.get_running_loop()
        unused_since = loop.time() - self._keep_s
        for lent in [each for each in self._kept if each.used_at <= unused_since]:
            self._kept.remove(lent)
            task = loop.create_task(self._pool.release(lent.conn))
            self._returning.add(task)
            task.add_done_callback(self._returning.discard)
        self._timer = loop.call_later(self._keep_s, self._return_unused) if self._kept else None


class _Use:
    """One use of a connection."""

    __slots__ = ("_from", "_lent")

    def __init__(self, kept: KeptConnections) -> None:
        self._from = kept

    async def __aenter__(self) -> PoolConnectionProxy:
        self._lent = await self._from.lend()
        return self._lent.conn

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._from.take_back(self._lent, failed=kind is not None)


def _is_open(conn: PoolConnectionProxy) -> bool:
    try:
        return not conn.is_closed()
    except asyncpg.InterfaceError:  # it was lost, and the pool has taken it back by itself
        return False
