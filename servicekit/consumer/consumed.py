"""Which events a consumer has done: the table `consumed` of the service's own schema."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import asyncpg

import servicekit
from servicekit.db import Executor, Queries

_BATCH = 5000
q = Queries.load(Path(servicekit.__file__).with_name("sql") / "consumed_queries.sql")


async def mark_consumed(conn: Executor, consumer: str, event_ids: Sequence[UUID]) -> set[UUID]:
    """Inside the effects' transaction: which of the events are marked for the first time."""
    return {row["event_id"] for row in await q.mark_consumed.fetch(conn, consumer, event_ids)}


async def forget_consumed(pool: asyncpg.Pool, keep: timedelta) -> int:
    """Deletes marks older than `keep`, which must exceed how long a message can be on its way; how many."""
    forgotten = 0
    while True:
        tag = await q.forget_consumed.execute(pool, keep, _BATCH)
        count = int(tag.rpartition(" ")[2])
        forgotten += count
        if count < _BATCH:
            return forgotten
