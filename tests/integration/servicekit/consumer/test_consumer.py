"""Consuming from a real RabbitMQ into a real Postgres: each event's effect once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import aio_pika
import asyncpg
from aio_pika.abc import AbstractChannel
from opentelemetry.sdk.trace import ReadableSpan

from servicekit.bus import EXCHANGE, BusPublisher
from servicekit.consumer import CloudEvent, Subscription, forget_consumed
from servicekit.db import Executor
from tests.support.consumer import (
    consuming,
    effects,
    events_for,
    is_empty,
    new_subscription,
    next_dead,
    queues_of,
    write_effect,
)
from tests.support.waiting import eventually


async def test_an_event_that_comes_twice_takes_effect_once(
    amqp_url: str,
    pool: asyncpg.Pool,
    publisher: BusPublisher,
    subscription: Subscription,
    queues: AbstractChannel,
) -> None:
    events = events_for(subscription, 20)
    await publisher.publish([*events, *events])
    async with consuming(amqp_url, subscription, pool):
        await publisher.publish(events)
        await eventually(lambda: effects(pool), until=lambda seen: len(seen) >= 20)
    assert await effects(pool) == list(range(20))
    async with consuming(amqp_url, subscription, pool):  # and what was left then changes nothing
        pass
    assert await effects(pool) == list(range(20))


async def test_poison_is_dead_after_five_tries_and_the_queue_flows_on(
    amqp_url: str,
    pool: asyncpg.Pool,
    publisher: BusPublisher,
    subscription: Subscription,
    queues: AbstractChannel,
) -> None:
    async def handle(conn: Executor, event: CloudEvent) -> None:
        await write_effect(conn, event)
        if event.data["number"] == 0:
            raise ValueError("the text of a message")

    async with consuming(amqp_url, subscription, pool, handle):
        poison, *others = events_for(subscription, 10)
        await publisher.publish([poison, *others])
        dead = await eventually(lambda: next_dead(queues, subscription))
        assert dead is not None
        assert dead.message_id == str(poison.event_id)
        await eventually(lambda: effects(pool), until=lambda seen: len(seen) >= 9)
    assert dead.headers["x-failed"] == 4  # and then once more
    assert await effects(pool) == list(range(1, 10))
    assert await pool.fetchval("SELECT count(*) FROM consumed WHERE event_id = $1", poison.event_id) == 0


async def test_what_waits_takes_effect_in_one_transaction(
    amqp_url: str,
    pool: asyncpg.Pool,
    publisher: BusPublisher,
    subscription: Subscription,
    queues: AbstractChannel,
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    first, *others = events_for(subscription, 10)

    async def handle(conn: Executor, event: CloudEvent) -> None:
        await write_effect(conn, event)
        begun.set()
        await go_on.wait()

    async with consuming(amqp_url, subscription, pool, handle):
        await publisher.publish([first])
        await begun.wait()
        await publisher.publish([*others, *others])
        queue = await queues.get_queue(subscription.queue)
        await eventually(lambda: queue.channel.declare_queue(queue.name, passive=True), until=is_empty)
        go_on.set()
        await eventually(lambda: effects(pool), until=lambda seen: len(seen) >= 10)
    assert await effects(pool) == list(range(10))
    # How many come in one batch is chance; that none came in another's would be none.
    assert await pool.fetchval("SELECT count(DISTINCT xmin::text) FROM effects") < 10


async def test_a_key_that_is_dropped_brings_nothing_until_it_is_wanted_again(
    amqp_url: str,
    pool: asyncpg.Pool,
    publisher: BusPublisher,
    subscription: Subscription,
    queues: AbstractChannel,
) -> None:
    without = replace(subscription, routing_keys=(), dropped_keys=subscription.routing_keys)
    before, meanwhile, after = events_for(subscription, 3)
    await publisher.publish([before])
    async with consuming(amqp_url, without, pool):
        await eventually(lambda: effects(pool))  # what had come already
        await publisher.publish([meanwhile])  # routed, hence dropped, when it is confirmed
    async with consuming(amqp_url, subscription, pool):
        await publisher.publish([after])
        await eventually(lambda: effects(pool), until=lambda seen: len(seen) >= 2)
    assert await effects(pool) == [0, 2]


async def test_what_is_no_event_is_dead_too(
    amqp_url: str,
    pool: asyncpg.Pool,
    publisher: BusPublisher,
    subscription: Subscription,
    queues: AbstractChannel,
) -> None:
    exchange = await queues.get_exchange(EXCHANGE)
    bodies = [b"", b"[]", b'{"specversion":"1.0","id":"1"}', b"\xff" * 100]
    for body in bodies:
        await exchange.publish(aio_pika.Message(body), subscription.routing_keys[0])
    async with consuming(amqp_url, subscription, pool):
        await publisher.publish(events_for(subscription, 1))
        seen: set[bytes] = set()
        while len(seen) < len(bodies):
            dead = await eventually(lambda: next_dead(queues, subscription))
            assert dead is not None
            seen.add(dead.body)
        assert seen == set(bodies)
        await eventually(lambda: effects(pool))


async def test_two_workers_share_a_queue(
    amqp_url: str,
    pool: asyncpg.Pool,
    publisher: BusPublisher,
    queues: AbstractChannel,
) -> None:
    shared = new_subscription(prefetch=1)
    async with queues_of(amqp_url, shared):
        done: dict[str, int] = {"one": 0, "two": 0}
        both = asyncio.Barrier(2)

        async def handle(name: str, conn: Executor, event: CloudEvent) -> None:
            if event.data["number"] < 2:  # the first two are in work at once, so each has its own worker
                await both.wait()
            done[name] += 1
            await write_effect(conn, event)

        async with (
            consuming(amqp_url, shared, pool, lambda conn, event: handle("one", conn, event)),
            consuming(amqp_url, shared, pool, lambda conn, event: handle("two", conn, event)),
        ):
            await publisher.publish(events_for(shared, 40))
            await eventually(lambda: effects(pool), until=lambda seen: len(seen) >= 40)
        assert await effects(pool) == list(range(40))
        assert min(done.values()) >= 1


async def test_a_stop_finishes_what_is_in_hand(
    amqp_url: str,
    pool: asyncpg.Pool,
    publisher: BusPublisher,
    subscription: Subscription,
    queues: AbstractChannel,
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def handle(conn: Executor, event: CloudEvent) -> None:
        begun.set()
        await go_on.wait()
        await write_effect(conn, event)

    async with consuming(amqp_url, subscription, pool, handle):
        await publisher.publish(events_for(subscription, 1))
        async with asyncio.timeout(60):
            await begun.wait()
        asyncio.get_running_loop().call_later(0.2, go_on.set)
    assert await effects(pool) == [0]
    assert is_empty(await queues.declare_queue(subscription.queue, passive=True))


async def test_the_trace_goes_on_in_the_consumer(
    amqp_url: str,
    pool: asyncpg.Pool,
    publisher: BusPublisher,
    subscription: Subscription,
    queues: AbstractChannel,
    spans: list[ReadableSpan],
) -> None:
    event = events_for(subscription, 1)[0]
    event.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with consuming(amqp_url, subscription, pool):
        await publisher.publish([event])
        await eventually(lambda: effects(pool))
    consumed = [span for span in spans if span.name == f"consume {subscription.queue}"]
    assert [f"{span.context.trace_id:032x}" for span in consumed if span.context] == [
        "0af7651916cd43dd8448eb211c80319c"
    ]


async def test_old_marks_are_forgotten(pool: asyncpg.Pool) -> None:
    await pool.execute(
        "INSERT INTO consumed SELECT 'c', gen_random_uuid(), now() - n * interval '1 day'"
        " FROM generate_series(1, 10) n"
    )
    assert await forget_consumed(pool, timedelta(days=5.5)) == 5
    assert await pool.fetchval("SELECT count(*) FROM consumed") == 5
