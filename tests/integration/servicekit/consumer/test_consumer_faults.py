"""What a consumer outlives: workers, brokers and databases that go, and queues that are gone."""

from __future__ import annotations

import asyncio
import secrets

import aio_pika
import asyncpg
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelNotFoundEntity

from deploy.local.folders import open_temporary
from deploy.local.rabbitmq import RabbitMQ
from servicekit.bus import BusPublisher
from servicekit.consumer import CloudEvent, Subscription
from servicekit.consumer.topology import TRIES
from servicekit.db import Executor
from servicekit.outbox import Outbox
from servicekit.realtime import RealtimePublisher
from tests.support.backing import TestDatabase
from tests.support.consumer import (
    DEADLY,
    consuming,
    effects,
    events_for,
    is_empty,
    new_subscription,
    next_dead,
    open_pool,
    start_worker,
    write_effect,
)
from tests.support.outbox import bus_event, commit, render
from tests.support.proxy import proxy_to
from tests.support.waiting import eventually


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
    for _ in range(2):
        worker = await start_worker("acknowledging", amqp_url, database.admin_url, schema, subscription)
        assert await worker.wait() == -9
        assert await effects(pool)
    async with consuming(amqp_url, subscription, pool):
        await eventually(lambda: effects(pool), until=lambda seen: len(seen) >= 3)
        queue = await queues.get_queue(subscription.queue)
        await eventually(lambda: queue.channel.declare_queue(queue.name, passive=True), until=is_empty)
    assert await effects(pool) == [0, 1, 2]


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


async def test_an_event_that_has_nowhere_to_wait_is_not_lost(
    amqp_url: str,
    pool: asyncpg.Pool,
    publisher: BusPublisher,
    subscription: Subscription,
    queues: AbstractChannel,
) -> None:
    failed = False

    async def handle(conn: Executor, event: CloudEvent) -> None:
        nonlocal failed
        if not failed:
            failed = True
            raise ValueError
        await write_effect(conn, event)

    waiting = subscription.retry_queue(1)
    async with consuming(amqp_url, subscription, pool, handle):
        await queues.queue_delete(waiting)
        await publisher.publish(events_for(subscription, 1))
        await eventually(lambda: effects(pool))

        async def is_back() -> bool:
            connection = await aio_pika.connect(amqp_url)
            async with connection:
                try:
                    await (await connection.channel()).declare_queue(waiting, passive=True)
                except ChannelNotFoundEntity:
                    return False
            return True

        assert await eventually(is_back)
    assert await effects(pool) == [0]


async def test_a_stop_while_the_broker_is_away_finishes_what_is_in_hand(
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

    async with proxy_to(amqp_url) as proxy:
        async with consuming(proxy.url, subscription, pool, handle) as consumer:
            await publisher.publish(events_for(subscription, 1))
            async with asyncio.timeout(60):
                await begun.wait()
            await proxy.cut()
            await eventually(lambda: asyncio.sleep(0, consumer.consuming.is_set()), until=lambda on: not on)
            asyncio.get_running_loop().call_later(0.2, go_on.set)
        assert await effects(pool) == [0]


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


async def test_an_event_that_workers_die_over_takes_no_other_with_it(
    amqp_url: str,
    database: TestDatabase,
    schema: str,
    pool: asyncpg.Pool,
    publisher: BusPublisher,
    subscription: Subscription,
    queues: AbstractChannel,
) -> None:
    events = events_for(subscription, 2 * DEADLY)
    await publisher.publish(events)
    for _ in range(TRIES + 1):
        worker = await start_worker("handling", amqp_url, database.admin_url, schema, subscription)
        assert await worker.wait() == -9
    async with consuming(amqp_url, subscription, pool):
        others = [number for number in range(2 * DEADLY) if number != DEADLY]
        await eventually(lambda: effects(pool), until=lambda seen: seen == others)
    dead = await next_dead(queues, subscription)
    assert dead is not None
    assert dead.message_id == str(events[DEADLY].event_id)
    assert await next_dead(queues, subscription) is None


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
