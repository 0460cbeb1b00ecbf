"""The relay: what cannot be published is tried later, given up in the end, and holds up nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import redis.asyncio as redis

from servicekit.outbox import RealtimeEvent
from tests.support.outbox import (
    commit,
    make_due,
    realtime_event,
    render,
    rows_left,
    streamed,
)
from tests.support.proxy import proxy_to
from tests.support.relaying import published, relaying, tries_of_those_left
from tests.support.waiting import eventually


async def test_a_poison_row_is_tried_later_and_holds_up_no_other(
    pool: asyncpg.Pool, redis_url: str, amqp_url: str, redis_client: redis.Redis, schema: str
) -> None:
    poison = realtime_event(schema, 0)
    others = [realtime_event(schema, number) for number in range(1, 30)]
    cured = asyncio.Event()

    async def choke(events: Sequence[RealtimeEvent]) -> list[RealtimeEvent | None]:
        if not cured.is_set() and any(event.event_id == poison.event_id for event in events):
            raise KeyError("seq")
        return await render(events)

    async with relaying(pool, redis_url, amqp_url, render=choke) as relay:
        await commit(pool, relay.outbox, realtime=[poison, *others])
        await make_due(pool)
        await eventually(lambda: rows_left(pool), until=lambda left: left == (1, 0))
        assert await streamed(redis_client, schema) == [str(event.event_id) for event in others]
        first = await pool.fetchrow("SELECT attempts, not_before - now() AS delay FROM outbox_realtime")
        assert first is not None
        assert first["attempts"] >= 1

        async def attempts() -> int:
            return int(await pool.fetchval("SELECT attempts FROM outbox_realtime"))

        await eventually(attempts, until=lambda count: count >= 2, within=60)
        cured.set()
        await published(pool)
        assert (await streamed(redis_client, schema))[-1] == str(poison.event_id)


async def test_the_delay_of_a_poison_row_grows_to_ten_minutes(
    pool: asyncpg.Pool, redis_url: str, amqp_url: str, schema: str
) -> None:
    async def choke(events: Sequence[RealtimeEvent]) -> list[RealtimeEvent | None]:
        raise KeyError("seq")

    async with relaying(pool, redis_url, amqp_url, render=choke) as relay:
        await commit(pool, relay.outbox, realtime=[realtime_event(schema)])

        async def attempt(attempts: int) -> tuple[float, float]:
            """Seconds to the next attempt, from before one that follows `attempts` and from after it."""
            before = await pool.fetchval(
                "UPDATE outbox_realtime SET attempts = $1, not_before = now() - interval '1 hour'"
                " RETURNING now()",
                attempts,
            )

            async def row() -> asyncpg.Record:
                found = await pool.fetchrow(
                    "SELECT attempts, not_before, now() AS after FROM outbox_realtime"
                )
                assert found is not None
                return found

            seen = await eventually(row, until=lambda found: found["attempts"] > attempts)
            if seen["attempts"] > attempts + 1:  # a slow machine has come too late to see the first
                return await attempt(attempts)
            due = seen["not_before"]
            return (due - before).total_seconds(), (due - seen["after"]).total_seconds()

        for attempts, least, most in ((0, 1, 2), (5, 60, 64), (40, 590, 600)):
            from_before, from_after = await attempt(attempts)
            assert from_before >= least
            assert from_after <= most


async def test_an_event_that_cannot_be_published_is_given_up_in_the_end(
    pool: asyncpg.Pool, redis_url: str, amqp_url: str, schema: str
) -> None:
    async def choke(events: Sequence[RealtimeEvent]) -> list[RealtimeEvent | None]:
        raise KeyError("seq")

    long_ago = datetime.now(UTC) - timedelta(days=8)
    async with relaying(pool, redis_url, amqp_url, render=choke, keep=timedelta(days=7)) as relay:
        old, young = realtime_event(schema, occurred_at=long_ago), realtime_event(schema)
        untried = realtime_event(schema, occurred_at=long_ago)  # it waited for a sink that is back
        await commit(pool, relay.outbox, realtime=[old, young, untried])
        await pool.execute("UPDATE outbox_realtime SET attempts = 9 WHERE event_id <> $1", untried.event_id)
        await make_due(pool)
        await eventually(
            lambda: tries_of_those_left(pool),
            until=lambda left: left == {young.event_id: 10, untried.event_id: 1},
        )


async def test_no_event_is_given_up_for_a_sink_that_is_away(
    pool: asyncpg.Pool, redis_url: str, amqp_url: str, redis_client: redis.Redis, schema: str
) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=8)
    async with proxy_to(redis_url) as proxy:
        await proxy.cut()
        async with relaying(pool, proxy.url, amqp_url, keep=timedelta(days=7)) as relay:
            await commit(pool, relay.outbox, realtime=[realtime_event(schema, occurred_at=long_ago)])
            await make_due(pool)
            await asyncio.sleep(1)  # some sweeps long; the fault is the time
            assert await rows_left(pool) == (1, 0)
            await proxy.heal()
            await published(pool)
    assert len(await streamed(redis_client, schema)) == 1
