"""Moments at which people were last seen, gathered, and kept in Postgres together."""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg

from presence_svc import store

_PAGE = 1000
"""People of one statement."""


class LastSeen:
    """What is to be kept, in memory until the next `save`: the latest moment of each person, and no more.

    A process that is killed loses what it gathered for a second or two. Who is still here is given away again
    within a minute, and of others Redis knows better until it is flushed.
    """

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._waiting: dict[str, int] = {}

    def add(self, seen: Mapping[str, int]) -> None:
        """To be kept: milliseconds since the epoch, by user id."""
        for user_id, at_ms in seen.items():
            self._waiting[user_id] = max(at_ms, self._waiting.get(user_id, 0))

    async def save(self) -> None:
        """Keeps what waits. What cannot be kept goes on waiting; raises what asyncpg raises."""
        while self._waiting:
            page = dict(list(self._waiting.items())[:_PAGE])
            await store.save_last_seen(self._pool, page)
            for user_id, at_ms in page.items():
                if self._waiting[user_id] == at_ms:
                    del self._waiting[user_id]
