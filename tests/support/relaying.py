"""An outbox whose relay runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from servicekit.bus import BusPublisher
from servicekit.outbox import Outbox, Renderer
from servicekit.realtime import RealtimePublisher
from tests.support.outbox import render, rows_left
from tests.support.waiting import eventually


@dataclass
class Relaying:
    outbox: Outbox
    stop: asyncio.Event
    task: asyncio.Task[None]


@asynccontextmanager
async def relaying(
    pool: asyncpg.Pool, redis_url: str, amqp_url: str, *, render: Renderer = render, **options: Any
) -> AsyncIterator[Relaying]:
    """An outbox whose relay runs; ends by its stop event."""
    realtime = RealtimePublisher(redis_url, max_len=100_000)
    bus = BusPublisher(amqp_url, service="tests")
    outbox = Outbox(pool, realtime, bus, render=render, poll_s=0.05, **options)
    stop = asyncio.Event()
    task = asyncio.create_task(outbox.run_relay(stop))
    try:
        yield Relaying(outbox, stop, task)
    finally:
        stop.set()
        async with asyncio.timeout(30):
            await task
        await realtime.close()
        await bus.close()


async def published(pool: asyncpg.Pool) -> None:
    await eventually(lambda: rows_left(pool), until=lambda left: left == (0, 0), within=60)


async def tries_of_those_left(pool: asyncpg.Pool) -> dict[UUID, int]:
    rows = await pool.fetch("SELECT event_id, attempts FROM outbox_realtime")
    return {row["event_id"]: row["attempts"] for row in rows}
