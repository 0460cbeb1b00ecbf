"""The relay: what the immediate publish left is published later, in order, and nothing else is held up."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio as redis

from servicekit.bus import BusPublisher
from servicekit.errors import ChatError, Reason
from servicekit.faults import as_unavailable
from servicekit.outbox import Outbox, RealtimeEvent, Renderer
from servicekit.outbox.events import Refused
from servicekit.realtime import RealtimePublisher, channel
from tests.support.backing import TestDatabase
from tests.support.outbox import (
    BODY,
    BusInbox,
    bus_event,
    commit,
    make_due,
    realtime_event,
    render,
    rows_left,
    streamed,
)
from tests.support.proxy import proxy_to
from tests.support.relaying import published, relaying
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[3]


async def test_what_a_crash_left_is_published_once_after_its_grace(
    pool: asyncpg.Pool,
    database: TestDatabase,
    redis_url: str,
    amqp_url: str,
    redis_client: redis.Redis,
    inbox: BusInbox,
    schema: str,
) -> None:
    async with relaying(pool, redis_url, amqp_url), redis_client.pubsub() as listener:
        await listener.subscribe(channel(schema))
        await listener.get_message(timeout=30)  # the confirmation
        crashed = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.crash",
            database.admin_url,
            schema,
            schema,
            inbox.key,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
        )
        assert await crashed.wait() == 9
        await published(pool)
        frame = await listener.get_message(timeout=30)
        assert frame is not None
        assert BODY.encode() in frame["data"]  # read again: the row held none
        assert len(await streamed(redis_client, schema)) == 1
        await inbox.take(1)
        assert inbox.received.empty()


async def test_a_row_within_its_grace_is_left_alone(
    pool: asyncpg.Pool, redis_url: str, amqp_url: str, redis_client: redis.Redis, schema: str
) -> None:
    async with relaying(pool, redis_url, amqp_url) as relay:
        young, old = realtime_event(schema), realtime_event(schema)
        await commit(pool, relay.outbox, realtime=[young, old])
        await pool.execute(
            "UPDATE outbox_realtime SET not_before = now() + interval '1 hour' * CASE WHEN event_id = $1"
            " THEN 1 ELSE -1 END",
            young.event_id,
        )
        await eventually(lambda: rows_left(pool), until=lambda left: left == (1, 0))
        assert await streamed(redis_client, schema) == [str(old.event_id)]


@pytest.mark.parametrize("frozen", [False, True], ids=["refuses", "hangs"])
async def test_while_redis_is_away_the_bus_drains_and_then_the_backlog_in_order(
    pool: asyncpg.Pool,
    redis_url: str,
    amqp_url: str,
    redis_client: redis.Redis,
    inbox: BusInbox,
    schema: str,
    frozen: bool,
) -> None:
    async with proxy_to(redis_url) as proxy, relaying(pool, proxy.url, amqp_url) as relay:
        if frozen:
            proxy.freeze()
        else:
            await proxy.cut()
        events = [realtime_event(schema, number) for number in range(450)]  # three sweeps
        facts = [bus_event(inbox.key, number) for number in range(450)]
        await commit(pool, relay.outbox, realtime=events, bus=facts)
        await make_due(pool)
        left = await eventually(lambda: rows_left(pool), until=lambda left: left[1] == 0, within=60)
        assert left[0] == 450
        assert [fact["data"]["number"] for fact in await inbox.take(450)] == list(range(450))
        await proxy.heal()
        await published(pool)
        # At least once: a frozen Redis may have taken a batch whose answer was lost.
        order = list(dict.fromkeys(await streamed(redis_client, schema)))
        assert order == [str(event.event_id) for event in events]
        if not frozen:
            assert len(await streamed(redis_client, schema)) == 450


async def test_while_rabbitmq_is_away_sockets_are_served_and_then_the_backlog_in_order(
    pool: asyncpg.Pool,
    redis_url: str,
    amqp_url: str,
    redis_client: redis.Redis,
    inbox: BusInbox,
    schema: str,
) -> None:
    async with proxy_to(amqp_url) as proxy, relaying(pool, redis_url, proxy.url) as relay:
        await proxy.cut()
        events = [realtime_event(schema, number) for number in range(450)]
        facts = [bus_event(inbox.key, number) for number in range(450)]
        await commit(pool, relay.outbox, realtime=events, bus=facts)
        await make_due(pool)
        await eventually(lambda: rows_left(pool), until=lambda left: left == (0, 450), within=60)
        assert await streamed(redis_client, schema) == [str(event.event_id) for event in events]
        await proxy.heal()
        assert [fact["data"]["number"] for fact in await inbox.take(450)] == list(range(450))
        await published(pool)


async def test_two_relays_share_the_work_without_doubling_it(
    pool: asyncpg.Pool,
    redis_url: str,
    amqp_url: str,
    redis_client: redis.Redis,
    inbox: BusInbox,
    schema: str,
) -> None:
    swept: Counter[str] = Counter()
    both = asyncio.Barrier(2)

    def counting(name: str) -> Renderer:
        async def counted(events: Sequence[RealtimeEvent]) -> list[RealtimeEvent | None]:
            first = name not in swept
            swept[name] += len(events)
            if first:  # each holds its first batch until the other has one, so each has its share
                await both.wait()
            return await render(events)

        return counted

    async with (
        relaying(pool, redis_url, amqp_url, render=counting("one"), batch=20) as relay,
        relaying(pool, redis_url, amqp_url, render=counting("two"), batch=20),
    ):
        events = [realtime_event(schema, number) for number in range(1000)]
        facts = [bus_event(inbox.key, number) for number in range(1000)]
        await commit(pool, relay.outbox, realtime=events, bus=facts)
        await make_due(pool)
        await published(pool)
        assert sorted(await streamed(redis_client, schema)) == sorted(str(e.event_id) for e in events)
        assert sorted(fact["data"]["number"] for fact in await inbox.take(1000)) == list(range(1000))
        assert inbox.received.empty()
        assert set(swept) == {"one", "two"}
        assert swept.total() == 1000


@pytest.mark.parametrize(
    "fault",
    [
        asyncpg.ConnectionDoesNotExistError("gone"),
        ConnectionRefusedError(),
        redis.ConnectionError(),
        ChatError(Reason.UNAVAILABLE, "away"),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_a_database_away_while_rendering_is_no_fault_of_the_rows(
    pool: asyncpg.Pool,
    redis_url: str,
    amqp_url: str,
    redis_client: redis.Redis,
    schema: str,
    fault: Exception,
) -> None:
    failures = 0

    async def away(events: Sequence[RealtimeEvent]) -> list[RealtimeEvent | None]:
        nonlocal failures
        if failures < 2:
            failures += 1
            raise fault
        attempts.extend(await pool.fetch("SELECT attempts FROM outbox_realtime"))
        return await render(events)

    attempts: list[asyncpg.Record] = []
    async with relaying(pool, redis_url, amqp_url, render=away) as relay:
        events = [realtime_event(schema, number) for number in range(3)]
        await commit(pool, relay.outbox, realtime=events)
        await make_due(pool)
        await published(pool)
        assert await streamed(redis_client, schema) == [str(event.event_id) for event in events]
        assert [row["attempts"] for row in attempts] == [0, 0, 0]


async def test_an_event_withdrawn_meanwhile_is_not_published_and_its_row_goes(
    pool: asyncpg.Pool, redis_url: str, amqp_url: str, redis_client: redis.Redis, schema: str
) -> None:
    redacted, kept = realtime_event(schema), realtime_event(schema)

    async def withhold(events: Sequence[RealtimeEvent]) -> list[RealtimeEvent | None]:
        return [None if event.event_id == redacted.event_id else event for event in events]

    async with relaying(pool, redis_url, amqp_url, render=withhold) as relay:
        await commit(pool, relay.outbox, realtime=[redacted, kept])
        await make_due(pool)
        await published(pool)
        assert await streamed(redis_client, schema) == [str(kept.event_id)]


async def test_a_relay_cut_off_between_publishing_and_its_commit_publishes_again_under_the_same_id(
    pool: asyncpg.Pool,
    database: TestDatabase,
    redis_url: str,
    amqp_url: str,
    redis_client: redis.Redis,
    schema: str,
) -> None:
    class CutAfterPublishing(RealtimePublisher):
        async def publish(self, events: Sequence[RealtimeEvent]) -> Refused:
            refused = await super().publish(events)
            if len(await streamed(redis_client, schema)) == 1:
                await end_connections(database, "idle in transaction")
            return refused

    event = realtime_event(schema)
    realtime = CutAfterPublishing(redis_url)
    bus = BusPublisher(amqp_url, service="tests")
    outbox = Outbox(pool, realtime, bus, render=render, poll_s=0.05)
    await commit(pool, outbox, realtime=[event])
    await make_due(pool)
    stop = asyncio.Event()
    relay = asyncio.create_task(outbox.run_relay(stop))
    await published(pool)
    stop.set()
    await relay
    assert await streamed(redis_client, schema) == [str(event.event_id)] * 2
    await realtime.close()
    await bus.close()


async def test_the_relay_outlives_a_lost_database_connection(
    pool: asyncpg.Pool,
    database: TestDatabase,
    redis_url: str,
    amqp_url: str,
    redis_client: redis.Redis,
    schema: str,
) -> None:
    async with relaying(pool, redis_url, amqp_url) as relay:
        for round_number in range(3):
            event = realtime_event(schema, round_number)
            await commit(pool, relay.outbox, realtime=[event])
            await end_connections(database, "%")
            await eventually(lambda: reachable(pool))
            await make_due(pool)
            await published(pool)
            assert (await streamed(redis_client, schema))[-1] == str(event.event_id)


async def end_connections(database: TestDatabase, state: str) -> None:
    """End the pool's connections that are in this state, as a failover does."""
    conn = await asyncpg.connect(database.admin_url)
    await conn.execute(
        "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity"  # returns when they have ended
        " WHERE application_name = 'tests' AND datname = current_database() AND state LIKE $1",
        state,
    )
    await conn.close()


async def reachable(pool: asyncpg.Pool) -> bool:
    """Whether the pool has a connection that works; each try drops one that does not."""
    try:
        return bool(await pool.fetchval("SELECT true"))
    except Exception as error:
        if as_unavailable(error) is None:
            raise
        return False
