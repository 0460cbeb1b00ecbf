"""A consumer of its own queue, whose effect is a row that may not be written twice."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any
from unittest.mock import patch

import aio_pika
import asyncpg
import orjson
from aio_pika.abc import AbstractIncomingMessage, AbstractQueue

import servicekit.consumer.consumer
from deploy.local.folders import CHECKOUT
from servicekit.consumer import CloudEvent, Consumer, Handler, Subscription
from servicekit.consumer.delivery import Delivery, Source
from servicekit.db import Executor, connect_pool
from servicekit.outbox import BusEvent
from tests.support.outbox import bus_event

DEADLY = 17
"""Number of the event that kills a worker which dies over it."""
EFFECTS = "CREATE TABLE effects (number integer NOT NULL)"


def new_subscription(**changes: Any) -> Subscription:
    """A queue that nobody else has, with one routing key; what fails comes again soon."""
    name = secrets.token_hex(6)
    values: dict[str, Any] = {
        "service": "tests",
        "consumer": name,
        "routing_keys": (f"test.{name}.v1",),
        "retry_seconds": (0.05, 0.1),
    }
    return Subscription(**{**values, **changes})


def events_for(subscription: Subscription, count: int) -> list[BusEvent]:
    """Events numbered from 0."""
    return [bus_event(subscription.routing_keys[0], number) for number in range(count)]


async def write_effect(conn: Executor, event: CloudEvent) -> None:
    """One row an event: a second effect is seen."""
    await conn.execute("INSERT INTO effects VALUES ($1)", event.data["number"])


OneByOne = Callable[[Executor, CloudEvent], Awaitable[None]]


def one_by_one(handler: OneByOne) -> Handler:
    """Gives `handler` the events of a batch in their order."""

    async def handle(conn: Executor, events: Sequence[CloudEvent]) -> None:
        for event in events:
            await handler(conn, event)

    return handle


async def effects(pool: asyncpg.Pool) -> list[int]:
    """The numbers of the effects, in their order."""
    return [row["number"] for row in await pool.fetch("SELECT number FROM effects ORDER BY number")]


def is_empty(queue: AbstractQueue) -> bool:
    """Whether it held no message when it was declared."""
    return queue.declaration_result.message_count == 0


async def open_pool(url: str, schema: str) -> asyncpg.Pool:
    """A consumer's pool."""
    return await connect_pool(
        url, schema=schema, min_size=1, max_size=8, statement_timeout_ms=30_000, application_name="tests"
    )


@asynccontextmanager
async def consuming(
    amqp_url: str, subscription: Subscription, pool: asyncpg.Pool, handler: OneByOne = write_effect
) -> AsyncIterator[Consumer]:
    """A consumer at work; stopped in good order at the end."""
    stop = asyncio.Event()
    consumer = Consumer(amqp_url, subscription, pool, one_by_one(handler))
    task = asyncio.create_task(consumer.run(stop))
    try:
        async with asyncio.timeout(60):
            await consumer.consuming.wait()
        yield consumer
    finally:
        stop.set()
        await task


@asynccontextmanager
async def queues_of(amqp_url: str, subscription: Subscription) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    """The subscription's queues, made before and deleted after."""
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        await subscription.declare(channel)
        yield channel
        names = [subscription.queue, subscription.dead_queue]
        names += {subscription.retry_queue(number) for number in range(1, 9)}
        for name in names:
            await channel.queue_delete(name)


async def next_dead(
    channel: aio_pika.abc.AbstractChannel, subscription: Subscription
) -> AbstractIncomingMessage | None:
    """The next message among the dead, taken from there."""
    queue = await channel.get_queue(subscription.dead_queue)
    return await queue.get(no_ack=True, fail=False)


class DiesBeforeItAcknowledges(Source):
    """The effect is committed, and the process killed before the broker hears of it."""

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


async def _dies_over_its_event(conn: Executor, event: CloudEvent) -> None:
    if event.data["number"] == DEADLY:
        os.kill(os.getpid(), signal.SIGKILL)
    await write_effect(conn, event)


async def start_worker(
    how: str, amqp_url: str, database_url: str, schema: str, subscription: Subscription
) -> Process:
    """A consumer in a process of its own, which it does not outlive.

    `how`: `acknowledging`: it dies before it acknowledges; `handling`: over the event with number DEADLY.
    """
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.consumer", how, amqp_url, database_url, schema),
        orjson.dumps(asdict(subscription)).decode(),
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'protos/gen'}"},
    )


async def _main(how: str, amqp_url: str, database_url: str, schema: str, subscription: str) -> None:
    pool = await connect_pool(
        database_url,
        schema=schema,
        min_size=1,
        max_size=4,
        statement_timeout_ms=30_000,
        application_name="dies",
    )
    fields = orjson.loads(subscription)
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    source, handler = (
        (Source, _dies_over_its_event) if how == "handling" else (DiesBeforeItAcknowledges, write_effect)
    )
    with patch.object(servicekit.consumer.consumer, "Source", source):
        consumer = Consumer(amqp_url, Subscription(**fields), pool, one_by_one(handler))
        await consumer.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
