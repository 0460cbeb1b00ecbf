"""The immediate publish: rows in the transaction, published right after it, deleted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import redis.asyncio as redis

from servicekit.bus import BusPublisher
from servicekit.outbox import Outbox, RealtimeEvent
from servicekit.outbox.events import Refused
from servicekit.realtime import RealtimePublisher, channel
from servicekit.telemetry import bind_request_id, current_request_id
from tests.support.clock import FixedClock
from tests.support.outbox import (
    BODY,
    BusInbox,
    bus_event,
    commit,
    realtime_event,
    render,
    rows_left,
    streamed,
)
from tests.support.proxy import proxy_to
from tests.support.waiting import eventually


@asynccontextmanager
async def opened(pool: asyncpg.Pool, redis_url: str, amqp_url: str, **options: Any) -> AsyncIterator[Outbox]:
    realtime = RealtimePublisher(redis_url)
    bus = BusPublisher(amqp_url, service="tests")
    # Time stands still: on a slow machine, too, nothing gets so old that it is left to the relay.
    outbox = Outbox(pool, realtime, bus, render=render, **{"clock": FixedClock(), **options})
    try:
        yield outbox
    finally:
        await outbox.close(grace_s=30)
        await realtime.close()
        await bus.close()


async def test_what_is_committed_is_published_at_once_and_its_rows_go(
    pool: asyncpg.Pool,
    redis_url: str,
    amqp_url: str,
    redis_client: redis.Redis,
    inbox: BusInbox,
    schema: str,
) -> None:
    async with opened(pool, redis_url, amqp_url) as outbox:
        event, fact = realtime_event(schema), bus_event(inbox.key)
        async with redis_client.pubsub(ignore_subscribe_messages=True) as listener:
            await listener.subscribe(channel(schema))
            await commit(pool, outbox, realtime=[event], bus=[fact])
            outbox.publish_soon(realtime=[event], bus=[fact])
            frame = await eventually(lambda: listener.get_message(timeout=1))
        assert BODY.encode() in frame["data"]
        assert [received["id"] for received in await inbox.take(1)] == [str(fact.event_id)]
        await eventually(lambda: rows_left(pool), until=lambda left: left == (0, 0))
        assert await streamed(redis_client, schema) == [str(event.event_id)]


async def test_the_tables_hold_no_body_and_give_the_process_three_seconds(
    pool: asyncpg.Pool, redis_url: str, amqp_url: str, schema: str
) -> None:
    async with opened(pool, redis_url, amqp_url) as outbox:
        before = await pool.fetchval("SELECT clock_timestamp()")
        await commit(pool, outbox, realtime=[realtime_event(schema)], bus=[bus_event("test.x.v1")])
        after = await pool.fetchval("SELECT clock_timestamp()")
        for table in ("outbox_realtime", "outbox_bus"):
            row = await pool.fetchrow(f"SELECT t::text AS text, not_before FROM {table} AS t")
            assert row is not None
            assert BODY not in row["text"]
            assert before + timedelta(seconds=3) <= row["not_before"] <= after + timedelta(seconds=3)


async def test_a_transaction_rolled_back_owes_nothing(
    pool: asyncpg.Pool, redis_url: str, amqp_url: str, schema: str
) -> None:
    async with opened(pool, redis_url, amqp_url) as outbox:

        async def fail() -> None:
            async with pool.acquire() as conn, conn.transaction():
                await outbox.add(conn, realtime=[realtime_event(schema)], bus=[bus_event("test.x.v1")])
                raise RuntimeError("the change failed")

        with pytest.raises(RuntimeError):
            await fail()
        assert await rows_left(pool) == (0, 0)


async def test_events_of_many_commits_arrive_in_the_order_handed_over(
    pool: asyncpg.Pool,
    redis_url: str,
    amqp_url: str,
    redis_client: redis.Redis,
    inbox: BusInbox,
    schema: str,
) -> None:
    async with opened(pool, redis_url, amqp_url) as outbox:
        events = [realtime_event(schema, number) for number in range(300)]
        facts = [bus_event(inbox.key, number) for number in range(300)]
        await commit(pool, outbox, realtime=events, bus=facts)
        for event, fact in zip(events, facts, strict=True):
            outbox.publish_soon(realtime=[event], bus=[fact])
            await asyncio.sleep(0)
        await eventually(lambda: rows_left(pool), until=lambda left: left == (0, 0))
        assert await streamed(redis_client, schema) == [str(event.event_id) for event in events]
        assert [fact["data"]["number"] for fact in await inbox.take(300)] == list(range(300))


async def test_redis_away_delays_neither_the_caller_nor_the_bus(
    pool: asyncpg.Pool, redis_url: str, amqp_url: str, inbox: BusInbox, schema: str
) -> None:
    async with proxy_to(redis_url) as proxy, opened(pool, proxy.url, amqp_url) as outbox:
        proxy.freeze()
        for number in range(20):
            event, fact = realtime_event(schema, number), bus_event(inbox.key, number)
            await commit(pool, outbox, realtime=[event], bus=[fact])
            started = time.thread_time()
            outbox.publish_soon(realtime=[event], bus=[fact])
            assert time.thread_time() - started < 1
        assert [fact["data"]["number"] for fact in await inbox.take(20)] == list(range(20))
        left = await eventually(lambda: rows_left(pool), until=lambda left: left[1] == 0)
        assert left[0] == 20  # all for the relay
        await proxy.cut()


async def test_rabbitmq_away_does_not_delay_the_sockets(
    pool: asyncpg.Pool, redis_url: str, amqp_url: str, redis_client: redis.Redis, schema: str
) -> None:
    async with proxy_to(amqp_url) as proxy, opened(pool, redis_url, proxy.url) as outbox:
        await proxy.cut()
        events = [realtime_event(schema, number) for number in range(20)]
        facts = [bus_event("test.x.v1", number) for number in range(20)]
        await commit(pool, outbox, realtime=events, bus=facts)
        outbox.publish_soon(realtime=events, bus=facts)
        await eventually(lambda: rows_left(pool), until=lambda left: left == (0, 20))
        assert await streamed(redis_client, schema) == [str(event.event_id) for event in events]


async def test_an_event_two_seconds_old_is_left_to_the_relay(
    pool: asyncpg.Pool, redis_url: str, amqp_url: str, redis_client: redis.Redis, schema: str
) -> None:
    clock = FixedClock()
    async with opened(pool, redis_url, amqp_url, clock=clock) as outbox:
        stale, fresh = realtime_event(schema), realtime_event(schema)
        await commit(pool, outbox, realtime=[stale, fresh])
        outbox.publish_soon(realtime=[stale])
        clock.advance(2.001)
        outbox.publish_soon(realtime=[fresh])
        await eventually(lambda: rows_left(pool), until=lambda left: left == (1, 0))
        assert await streamed(redis_client, schema) == [str(fresh.event_id)]
        assert await pool.fetchval("SELECT event_id FROM outbox_realtime") == stale.event_id


async def test_a_full_queue_leaves_the_rest_to_the_relay(
    pool: asyncpg.Pool, redis_url: str, amqp_url: str, redis_client: redis.Redis, schema: str
) -> None:
    async with opened(pool, redis_url, amqp_url, queue_limit=5) as outbox:
        events = [realtime_event(schema, number) for number in range(50)]
        await commit(pool, outbox, realtime=events)
        outbox.publish_soon(realtime=events)
        await eventually(lambda: rows_left(pool), until=lambda left: left == (45, 0))
        outbox.publish_soon(realtime=[events[5]])
        await eventually(lambda: rows_left(pool), until=lambda left: left == (44, 0))
        assert await streamed(redis_client, schema) == [str(event.event_id) for event in events[:6]]


async def test_an_event_that_cannot_be_published_stays_and_others_go(
    pool: asyncpg.Pool, redis_url: str, amqp_url: str, redis_client: redis.Redis, schema: str
) -> None:
    async with opened(pool, redis_url, amqp_url) as outbox:
        bad = realtime_event(schema, data={"text": "\ud800"})
        good = realtime_event(schema)
        await commit(pool, outbox, realtime=[bad, good])
        outbox.publish_soon(realtime=[bad, good])
        await eventually(lambda: rows_left(pool), until=lambda left: left == (1, 0))
        assert await streamed(redis_client, schema) == [str(good.event_id)]


async def test_closing_publishes_what_waits(
    pool: asyncpg.Pool, redis_url: str, amqp_url: str, inbox: BusInbox, schema: str
) -> None:
    async with opened(pool, redis_url, amqp_url) as outbox:
        events = [realtime_event(schema, number) for number in range(100)]
        facts = [bus_event(inbox.key, number) for number in range(100)]
        await commit(pool, outbox, realtime=events, bus=facts)
        outbox.publish_soon(realtime=events, bus=facts)
        await outbox.close(grace_s=30)
        assert await rows_left(pool) == (0, 0)
        outbox.publish_soon(realtime=events)  # after the end it is the relay's, and no error
        assert len(await inbox.take(100)) == 100


async def test_the_log_fields_of_the_first_request_do_not_stick_to_later_events(
    pool: asyncpg.Pool, redis_url: str, amqp_url: str, schema: str
) -> None:
    seen: list[str | None] = []

    class Watched(RealtimePublisher):
        async def publish(self, events: Sequence[RealtimeEvent]) -> Refused:
            seen.append(current_request_id())
            return await super().publish(events)

    realtime = Watched(redis_url)
    bus = BusPublisher(amqp_url, service="tests")
    outbox = Outbox(pool, realtime, bus, render=render, clock=FixedClock())

    async def request() -> None:
        bind_request_id("the-first")
        outbox.publish_soon(realtime=[realtime_event(schema)])

    await asyncio.create_task(request())
    await outbox.close(grace_s=30)
    assert seen == [None]
    await realtime.close()
    await bus.close()
