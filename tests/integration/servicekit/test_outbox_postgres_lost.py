"""Postgres killed while the relay reads what its rows tell of: no fault of theirs, they go out after it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
import redis.asyncio as redis

from deploy.local.folders import open_temporary
from deploy.local.postgres import Postgres
from servicekit.bus import BusPublisher
from servicekit.db import connect_pool
from servicekit.errors import ChatError
from servicekit.faults import as_unavailable
from servicekit.migrations import migrate
from servicekit.outbox import Outbox, RealtimeEvent
from servicekit.realtime import RealtimePublisher
from tests.integration.servicekit.conftest import OUTBOX_SQL
from tests.support.outbox import commit, make_due, realtime_event, render, streamed
from tests.support.waiting import eventually

Kill = Callable[[], None]


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Postgres]:
    """A Postgres for one test to kill and start."""
    folder = open_temporary()
    server = Postgres(folder, secrets.token_hex(8))
    try:
        await server.start()
        yield server
    finally:
        for child in reversed(server.children):
            await child.stop()
        folder.close()


async def in_a_statement(pool: asyncpg.Pool, kill: Kill) -> None:
    waiting = asyncio.create_task(pool.fetchval("SELECT pg_sleep(600)"))
    active = (
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()"
    )
    await eventually(lambda: pool.fetchval(active))
    kill()
    await waiting


async def between_two_statements(pool: asyncpg.Pool, kill: Kill) -> None:
    async with pool.acquire() as conn:
        await conn.fetchval("SELECT 1")
        kill()
        with contextlib.suppress(asyncpg.InterfaceError):  # until the pool has taken it back by itself
            while True:
                conn.is_closed()
                await asyncio.sleep(0.001)
        await conn.fetchval("SELECT 2")


async def between_two_statements_of_a_transaction(pool: asyncpg.Pool, kill: Kill) -> None:
    async with pool.acquire() as conn, conn.transaction():
        kill()
        await conn.fetchval("SELECT 2")


async def before_the_first(pool: asyncpg.Pool, kill: Kill) -> None:
    kill()
    await pool.fetchval("SELECT 1")


@pytest.mark.parametrize(
    "moment",
    [in_a_statement, between_two_statements, between_two_statements_of_a_transaction, before_the_first],
)
async def test_postgres_killed_while_rows_are_read_postpones_none(
    server: Postgres,
    redis_url: str,
    amqp_url: str,
    redis_client: redis.Redis,
    schema: str,
    tmp_path: Path,
    moment: Callable[[asyncpg.Pool, Kill], Awaitable[None]],
) -> None:
    def kill() -> None:
        for child in server.children:
            child.crash()
        server.children.clear()
        killed.set()

    async def reading(events: Sequence[RealtimeEvent]) -> list[RealtimeEvent | None]:
        if not killed.is_set():
            try:
                await moment(pool, kill)
            except Exception as error:
                faults.append(as_unavailable(error))
                raise
        attempts.extend(await pool.fetch("SELECT attempts FROM outbox_realtime"))
        return await render(events)

    killed = asyncio.Event()
    faults: list[ChatError | None] = []
    attempts: list[asyncpg.Record] = []
    (tmp_path / "0001_outbox.sql").write_text(OUTBOX_SQL.read_text())
    await migrate(server.url, schema=schema, directory=tmp_path)
    pool = await connect_pool(
        server.url,
        schema=schema,
        min_size=1,
        max_size=8,
        statement_timeout_ms=600_000,
        application_name="tests",
    )
    realtime, bus = RealtimePublisher(redis_url), BusPublisher(amqp_url, service="tests")
    outbox = Outbox(pool, realtime, bus, render=reading, poll_s=0.05)
    events = [realtime_event(schema, number) for number in range(3)]
    await commit(pool, outbox, realtime=events)
    await make_due(pool)
    stop = asyncio.Event()
    relay = asyncio.create_task(outbox.run_relay(stop))
    try:
        await asyncio.wait_for(killed.wait(), 60)
        await server.start()
        ids = [str(event.event_id) for event in events]
        await eventually(lambda: streamed(redis_client, schema), until=lambda seen: seen == ids, within=60)
        assert [row["attempts"] for row in attempts] == [0, 0, 0]
        assert [fault is not None for fault in faults] == [True]
    finally:
        stop.set()
        await relay
        await realtime.close()
        await bus.close()
        await pool.close()
