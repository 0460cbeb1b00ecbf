"""A consumer's queues, and a schema for what it does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest_asyncio
from aio_pika.abc import AbstractChannel

import servicekit
from servicekit.bus import BusPublisher
from servicekit.consumer import Subscription
from servicekit.migrations import migrate
from tests.support.backing import TestDatabase
from tests.support.consumer import (
    EFFECTS,
    new_subscription,
    open_pool,
    queues_of,
)

SQL = Path(servicekit.__file__).with_name("sql")


@pytest_asyncio.fixture
async def pool(database: TestDatabase, schema: str, tmp_path: Path) -> AsyncIterator[asyncpg.Pool]:
    """A pool on a fresh schema: outbox, what was consumed, and effects."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_outbox.sql").write_text((SQL / "outbox.sql").read_text())
    (folder / "0002_consumed.sql").write_text((SQL / "consumed.sql").read_text())
    (folder / "0003_effects.sql").write_text(EFFECTS)
    await migrate(database.admin_url, schema=schema, directory=folder)
    pool = await open_pool(database.admin_url, schema)
    yield pool
    await pool.close()


@pytest_asyncio.fixture
async def publisher(amqp_url: str) -> AsyncIterator[BusPublisher]:
    publisher = BusPublisher(amqp_url, service="tests")
    yield publisher
    await publisher.close()


@pytest_asyncio.fixture
async def subscription() -> Subscription:
    return new_subscription()


@pytest_asyncio.fixture
async def queues(amqp_url: str, subscription: Subscription) -> AsyncIterator[AbstractChannel]:
    async with queues_of(amqp_url, subscription) as channel:
        yield channel
