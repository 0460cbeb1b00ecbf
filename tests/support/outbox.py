"""Events to publish, and the two ends where they arrive."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import aio_pika
import asyncpg
import orjson
import redis.asyncio as redis
from aio_pika.abc import AbstractQueue

from servicekit.bus import EXCHANGE
from servicekit.ids import new_id
from servicekit.outbox import BusEvent, Outbox, RealtimeEvent
from servicekit.realtime import stream_key

BODY = "the body of a message"


def realtime_event(recipient: str, seq: int = 1, **changes: Any) -> RealtimeEvent:
    """A message to one person, with its body in memory."""
    event = RealtimeEvent(
        event_id=new_id(),
        name="message.created",
        recipients=(recipient,),
        conversation_id=new_id(),
        refs={"seq": seq},
        occurred_at=datetime.now(UTC),
        data={"message": {"seq": seq, "text": BODY}},
    )
    return replace(event, **changes)


def bus_event(name: str, number: int = 1) -> BusEvent:
    """A fact for the bus."""
    return BusEvent(new_id(), name, "conversation", {"number": number}, datetime.now(UTC))


async def render(events: Sequence[RealtimeEvent]) -> list[RealtimeEvent | None]:
    """Reads the bodies again, as a service does."""
    return [replace(event, data={"message": {"text": BODY, **event.refs}}) for event in events]


async def commit(
    pool: asyncpg.Pool,
    outbox: Outbox,
    *,
    realtime: Sequence[RealtimeEvent] = (),
    bus: Sequence[BusEvent] = (),
) -> None:
    """One transaction that owes the events."""
    async with pool.acquire() as conn, conn.transaction():
        await outbox.add(conn, realtime=realtime, bus=bus)


async def make_due(pool: asyncpg.Pool) -> None:
    """Let the grace of all rows be over, in the order they have."""
    for table in ("outbox_realtime", "outbox_bus"):
        await pool.execute(f"UPDATE {table} SET not_before = not_before - interval '1 hour'")


async def rows_left(pool: asyncpg.Pool) -> tuple[int, int]:
    """Rows in outbox_realtime and in outbox_bus."""
    row = await pool.fetchrow(
        "SELECT (SELECT count(*) FROM outbox_realtime), (SELECT count(*) FROM outbox_bus)"
    )
    assert row is not None
    return row[0], row[1]


async def streamed(client: redis.Redis, user_id: str) -> list[str]:
    """The ids of the events in the person's stream, in order."""
    entries: Any = await client.xrange(stream_key(user_id))
    return [fields[b"eventId"].decode() for _, fields in entries]


@dataclass
class BusInbox:
    """What a queue of the test's own on the exchange received; `key` is the name of the events it gets."""

    key: str
    received: asyncio.Queue[aio_pika.abc.AbstractIncomingMessage]

    async def next(self) -> aio_pika.abc.AbstractIncomingMessage:
        """The next message, which must come within a minute."""
        async with asyncio.timeout(60):
            return await self.received.get()

    async def take(self, count: int) -> list[dict[str, Any]]:
        """The next `count` CloudEvents."""
        return [orjson.loads((await self.next()).body) for _ in range(count)]


@asynccontextmanager
async def _bound_queue(amqp_url: str, **arguments: Any) -> AsyncIterator[tuple[str, AbstractQueue]]:
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
        queue = await channel.declare_queue(exclusive=True, arguments=arguments)
        key = f"test.{secrets.token_hex(6)}.v1"
        await queue.bind(exchange, key)
        yield key, queue


@asynccontextmanager
async def open_inbox(amqp_url: str, *names: str) -> AsyncIterator[BusInbox]:
    """Receives what is published from now on under its key and under `names`."""
    async with _bound_queue(amqp_url) as (key, queue):
        for name in names:
            await queue.bind(EXCHANGE, name)
        inbox = BusInbox(key, asyncio.Queue())
        await queue.consume(inbox.received.put, no_ack=True)
        yield inbox


@asynccontextmanager
async def full_queue(amqp_url: str) -> AsyncIterator[str]:
    """The key of a queue that keeps one message and rejects the others."""
    async with _bound_queue(amqp_url, **{"x-max-length": 1, "x-overflow": "reject-publish"}) as (key, _):
        yield key
