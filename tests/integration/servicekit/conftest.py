"""A schema with outbox tables for each test, and who receives what is published."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
import redis.asyncio as redis

import servicekit
from deploy.local.folders import open_temporary
from deploy.local.redis import Redis as RedisServer
from servicekit.db import connect_pool
from servicekit.migrations import migrate
from tests.support.backing import MakeDatabase, TestDatabase
from tests.support.outbox import BusInbox, open_inbox

OUTBOX_SQL = Path(servicekit.__file__).with_name("sql") / "outbox.sql"


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def database(make_database: MakeDatabase) -> TestDatabase:
    return await make_database()


@pytest.fixture
def schema() -> str:
    return f"s_{secrets.token_hex(6)}"


@pytest_asyncio.fixture
async def pool(database: TestDatabase, schema: str, tmp_path: Path) -> AsyncIterator[asyncpg.Pool]:
    """A pool on a fresh schema that holds the outbox tables."""
    migrations = tmp_path / "migrations"
    migrations.mkdir()
    (migrations / "0001_outbox.sql").write_text(OUTBOX_SQL.read_text())
    await migrate(database.admin_url, schema=schema, directory=migrations)
    pool = await open_pool(database, schema)
    yield pool
    await pool.close()


async def open_pool(database: TestDatabase, schema: str) -> asyncpg.Pool:
    return await connect_pool(
        database.admin_url,
        schema=schema,
        min_size=1,
        max_size=8,
        statement_timeout_ms=30_000,
        application_name="tests",
    )


@pytest_asyncio.fixture
async def redis_client(redis_url: str) -> AsyncIterator[redis.Redis]:
    client = redis.Redis.from_url(redis_url)
    yield client
    await client.aclose()


@pytest_asyncio.fixture
async def redis_server() -> AsyncIterator[RedisServer]:
    """A Redis for one test to flush, stop and start."""
    folder = open_temporary()
    server = RedisServer(folder, secrets.token_hex(8))
    await server.start()
    yield server
    for child in server.children:
        await child.stop()
    folder.close()


@pytest_asyncio.fixture
async def inbox(amqp_url: str) -> AsyncIterator[BusInbox]:
    """A queue bound to `inbox.key`."""
    async with open_inbox(amqp_url) as opened:
        yield opened
