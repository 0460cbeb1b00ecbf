"""Consuming from a real RabbitMQ into a real Postgres: each event's effect once."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import aio_pika
import asyncpg
import orjson
import pytest_asyncio
from aio_pika.abc import AbstractChannel
from opentelemetry.sdk.trace import ReadableSpan

import servicekit
from deploy.local.folders import CHECKOUT, open_temporary
from deploy.local.rabbitmq import RabbitMQ
from servicekit.bus import EXCHANGE, BusPublisher
from servicekit.consumer import CloudEvent, Subscription, forget_consumed
from servicekit.db import Executor, connect_pool
from servicekit.migrations import migrate
from servicekit.outbox import Outbox
from servicekit.realtime import RealtimePublisher
from tests.support.backing import TestDatabase
from tests.support.consumer import (
    EFFECTS,
    consuming,
    effects,
    events_for,
    new_subscription,
    next_dead,
    queues_of,
    write_effect,
)
from tests.support.outbox import bus_event, commit, render
from tests.support.proxy import proxy_to
from tests.support.waiting import eventually

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


async def open_pool(url: str, schema: str) -> asyncpg.Pool:
    return await connect_pool(
        url, schema=schema, min_size=1, max_size=8, statement_timeout_ms=30_000, application_name="tests"
    )


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


async def test_a_worker_killed_between_effect_and_acknowledgement_leaves_one_effect(
    amqp_url: str,
    database: TestDatabase,
    schema: str,
    pool: asyncpg.Pool,
    publisher: BusPublisher,
    subscription: Subscription,
    queues: AbstractChannel,
) -> None:
    await publisher.publish(events_for(subscription, 3))
    command = [sys.executable, "-m", "tests.support.consumer", amqp_url, database.admin_url, schema]
    for _ in range(2):
        worker = await asyncio.create_subprocess_exec(
            *command,
            orjson.dumps(asdict(subscription)).decode(),
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'protos/gen'}"},
        )
        assert await worker.wait() == -9
        assert await effects(pool)
    async with consuming(amqp_url, subscription, pool):
        await eventually(lambda: effects(pool), until=lambda seen: len(seen) >= 3)
        queue = await queues.get_queue(subscription.queue)
        await eventually(lambda: queue.channel.declare_queue(queue.name, passive=True), until=_empty)
    assert await effects(pool) == [0, 1, 2]


def _empty(queue: aio_pika.abc.AbstractQueue) -> bool:
    return queue.declaration_result.message_count == 0


async def test_poison_is_dead_after_five_tries_and_the_queue_flows_on(
    amqp_url: str,
    pool: asyncpg.Pool,
    publisher: BusPublisher,
    subscription: Subscription,
    queues: AbstractChannel,
) -> None:
    tries: list[int] = []

    async def handle(conn: Executor, event: CloudEvent) -> None:
        await write_effect(conn, event)
        if event.data["number"] == 0:
            tries.append(0)
            raise ValueError("the text of a message")

    async with consuming(amqp_url, subscription, pool, handle):
        poison, *others = events_for(subscription, 10)
        await publisher.publish([poison, *others])
        dead = await eventually(lambda: next_dead(queues, subscription))
        assert dead is not None
        assert dead.message_id == str(poison.event_id)
        await eventually(lambda: effects(pool), until=lambda seen: len(seen) >= 9)
    assert len(tries) == 5
    assert await effects(pool) == list(range(1, 10))
    assert await pool.fetchval("SELECT count(*) FROM consumed WHERE event_id = $1", poison.event_id) == 0


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


async def test_postgres_away_is_waited_for_and_costs_no_event(
    amqp_url: str,
    database: TestDatabase,
    schema: str,
    pool: asyncpg.Pool,
    publisher: BusPublisher,
    queues: AbstractChannel,
    subscription: Subscription,
) -> None:
    async with proxy_to(database.admin_url) as proxy:
        through = await open_pool(proxy.url, schema)
        async with consuming(amqp_url, subscription, through):
            await publisher.publish(events_for(subscription, 1))
            await eventually(lambda: effects(pool))
            await proxy.cut()
            await publisher.publish([bus_event(subscription.routing_keys[0], n) for n in range(1, 60)])
            await asyncio.sleep(2)  # some pauses long; the fault is the time
            assert await effects(pool) == [0]
            await proxy.heal()
            await eventually(lambda: effects(pool), until=lambda seen: len(seen) >= 60, within=120)
        await through.close()
    assert await effects(pool) == list(range(60))
    assert await next_dead(queues, subscription) is None


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
    assert _empty(await queues.declare_queue(subscription.queue, passive=True))


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


async def test_a_broker_killed_under_load_costs_nothing(pool: asyncpg.Pool) -> None:
    """Changes go on while RabbitMQ is away; back again, the backlog drains and each effect is there once."""
    folder = open_temporary()
    server = RabbitMQ(folder, secrets.token_hex(8))
    await server.start()
    realtime = RealtimePublisher("redis://127.0.0.1:1/0")
    publisher = BusPublisher(server.url, service="tests", timeout_s=1)
    outbox = Outbox(pool, realtime, publisher, render=render, poll_s=0.1)
    stop = asyncio.Event()
    relay = asyncio.create_task(outbox.run_relay(stop))
    subscription = new_subscription(prefetch=4)
    sent = 0

    async def send(count: int) -> None:
        nonlocal sent
        for _ in range(count):
            event = bus_event(subscription.routing_keys[0], sent)
            await commit(pool, outbox, bus=[event])
            outbox.publish_soon(bus=[event])
            sent += 1

    try:
        async with consuming(server.url, subscription, pool):
            # RabbitMQ 3.10 writes down half a second later that a quorum queue exists, and killed before
            # that it has lost the queue. A queue in service is older.
            await asyncio.sleep(5)
            await send(50)
            await eventually(lambda: effects(pool))
            for child in server.children:
                child.crash()
            server.children.clear()
            await send(100)  # nobody notices
            restarting = asyncio.create_task(server.start())
            await send(50)
            await restarting
            await eventually(lambda: effects(pool), until=lambda seen: len(seen) >= sent, within=180)
        assert await effects(pool) == list(range(sent))
    finally:
        stop.set()
        await relay
        await outbox.close()
        await publisher.close()
        await realtime.close()
        for child in reversed(server.children):
            await child.stop()
        folder.close()


async def test_a_message_that_workers_die_over_is_dead_in_the_end(
    amqp_url: str,
    publisher: BusPublisher,
    subscription: Subscription,
    queues: AbstractChannel,
) -> None:
    (event,) = events_for(subscription, 1)
    await publisher.publish([event])

    async def take_and_die() -> aio_pika.abc.AbstractIncomingMessage | None:
        connection = await aio_pika.connect(amqp_url)
        async with connection:
            queue = await (await connection.channel()).get_queue(subscription.queue)
            await queue.get(fail=False)  # and never acknowledged
        return await next_dead(queues, subscription)

    dead = await eventually(take_and_die)
    assert dead is not None
    assert dead.message_id == str(event.event_id)
