"""A broker that takes less than a batch in the time it has: what it took is done, the rest follows."""

from __future__ import annotations

import asyncio

import asyncpg

from servicekit.bus import BusPublisher
from servicekit.outbox import Outbox
from servicekit.realtime import RealtimePublisher
from tests.support.outbox import BusInbox, bus_event, commit, make_due, render, rows_left
from tests.support.proxy import proxy_to
from tests.support.waiting import eventually

EVENTS = 60
A_PART = 12 * 1024
"""Bytes: a third of the events, with what a connection needs to begin."""


async def test_what_a_broker_took_before_it_hung_is_not_published_for_ever(
    pool: asyncpg.Pool, redis_url: str, amqp_url: str, inbox: BusInbox
) -> None:
    owed = [bus_event(inbox.key, number) for number in range(EVENTS)]
    async with proxy_to(amqp_url) as proxy:
        proxy.most_bytes = A_PART
        realtime, bus = RealtimePublisher(redis_url), BusPublisher(proxy.url, service="tests", timeout_s=1.0)
        outbox = Outbox(pool, realtime, bus, render=render, poll_s=0.05)
        await commit(pool, outbox, bus=owed)
        await make_due(pool)
        stop = asyncio.Event()
        relay = asyncio.create_task(outbox.run_relay(stop))
        try:
            await eventually(lambda: rows_left(pool), until=lambda left: left == (0, 0), within=180)
        finally:
            stop.set()
            await relay
            await realtime.close()
            await bus.close()
    received: set[str] = set()
    while len(received) < EVENTS:
        received |= {event["id"] for event in await inbox.take(1)}
    assert received == {str(event.event_id) for event in owed}
