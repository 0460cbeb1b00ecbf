"""Connections that are kept, on a real Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from message_svc.store.kept import KeptConnections
from tests.support.waiting import eventually


@pytest_asyncio.fixture
async def pool(postgres_url: str) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(postgres_url, min_size=1, max_size=8) as pool:
        yield pool


async def backend(kept: KeptConnections) -> int:
    """Who answers one use."""
    async with kept.acquire() as conn:
        pid: int = await conn.fetchval("SELECT pg_backend_pid()")
    return pid


def lent(pool: asyncpg.Pool) -> int:
    """Connections that the pool has not got back."""
    return int(pool.get_size() - pool.get_idle_size())


async def test_the_next_use_has_the_same_connection(pool: asyncpg.Pool) -> None:
    kept = KeptConnections(pool, most=2, keep_s=60.0)

    pids = {await backend(kept) for _ in range(10)}

    assert len(pids) == 1
    assert lent(pool) == 1
    await kept.close()
    assert lent(pool) == 0


async def test_what_nobody_uses_goes_back(pool: asyncpg.Pool) -> None:
    kept = KeptConnections(pool, most=2, keep_s=0.05)
    await backend(kept)
    assert lent(pool) == 1

    await eventually(lambda: asyncio.sleep(0, lent(pool)), until=lambda count: count == 0)

    await backend(kept)
    assert lent(pool) == 1
    await kept.close()


async def test_only_so_many_are_kept(pool: asyncpg.Pool) -> None:
    kept = KeptConnections(pool, most=2, keep_s=60.0)

    await asyncio.gather(*(backend(kept) for _ in range(8)))

    assert lent(pool) == 2
    await kept.close()


async def test_half_of_the_pool_is_for_others(pool: asyncpg.Pool) -> None:
    kept = KeptConnections(pool, most=100, keep_s=60.0)

    await asyncio.gather(*(backend(kept) for _ in range(8)))

    assert lent(pool) == 4
    await kept.close()


async def test_for_no_time_none_is_kept(pool: asyncpg.Pool) -> None:
    kept = KeptConnections(pool, most=2, keep_s=0)

    await backend(kept)

    assert lent(pool) == 0


async def test_after_a_failure_the_pool_looks_after_it(pool: asyncpg.Pool) -> None:
    kept = KeptConnections(pool, most=2, keep_s=60.0)

    with pytest.raises(asyncpg.DivisionByZeroError):
        async with kept.acquire() as conn:
            await conn.execute("SELECT 1 / 0")
    assert lent(pool) == 0

    waiting = asyncio.create_task(_sleeps(kept))
    await eventually(lambda: asyncio.sleep(0, lent(pool)), until=lambda count: count == 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert lent(pool) == 0
    await backend(kept)
    await kept.close()


async def _sleeps(kept: KeptConnections) -> None:
    async with kept.acquire() as conn:
        await conn.execute("SELECT pg_sleep(30)")


async def test_an_open_transaction_ends_where_its_use_does(pool: asyncpg.Pool) -> None:
    kept = KeptConnections(pool, most=2, keep_s=60.0)

    async with kept.acquire() as conn:
        await conn.execute("BEGIN")

    assert lent(pool) == 0
    async with kept.acquire() as conn:
        assert not conn.is_in_transaction()
    await kept.close()


async def test_one_that_was_lost_meanwhile_is_not_lent_again(pool: asyncpg.Pool) -> None:
    kept = KeptConnections(pool, most=2, keep_s=60.0)
    async with kept.acquire() as conn:
        pid = await conn.fetchval("SELECT pg_backend_pid()")
    await pool.execute("SELECT pg_terminate_backend($1)", pid)
    await eventually(lambda: asyncio.sleep(0, lent(pool)), until=lambda count: count == 0)

    assert await backend(kept) != pid
    await kept.close()
    assert lent(pool) == 0
