"""One trace from the request to what it published."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import orjson
import pytest
from opentelemetry.sdk.trace import ReadableSpan

from servicekit.bus import BusPublisher
from servicekit.outbox import Outbox
from servicekit.realtime import RealtimePublisher
from servicekit.telemetry import tracer
from tests.support.clock import FixedClock
from tests.support.outbox import BusInbox, bus_event, commit, make_due, realtime_event, render, rows_left
from tests.support.waiting import eventually


@asynccontextmanager
async def opened(pool: asyncpg.Pool, redis_url: str, amqp_url: str) -> AsyncIterator[Outbox]:
    realtime = RealtimePublisher(redis_url)
    bus = BusPublisher(amqp_url, service="tests")
    outbox = Outbox(pool, realtime, bus, render=render, poll_s=0.05, clock=FixedClock())
    try:
        yield outbox
    finally:
        await outbox.close()
        await realtime.close()
        await bus.close()


@pytest.mark.parametrize("relayed", [False, True], ids=["at once", "by the relay"])
async def test_publish_spans_belong_to_the_trace_of_the_request(
    pool: asyncpg.Pool,
    redis_url: str,
    amqp_url: str,
    inbox: BusInbox,
    schema: str,
    spans: list[ReadableSpan],
    relayed: bool,
) -> None:
    async with opened(pool, redis_url, amqp_url) as outbox:
        with tracer().start_as_current_span("rpc") as rpc:
            events, facts = [realtime_event(schema)], [bus_event(inbox.key)]
            await commit(pool, outbox, realtime=events, bus=facts)
            if not relayed:
                outbox.publish_soon(realtime=events, bus=facts)
        if relayed:
            await make_due(pool)
            stop = asyncio.Event()
            relay = asyncio.create_task(outbox.run_relay(stop), context=contextvars.Context())
            await eventually(lambda: rows_left(pool), until=lambda left: left == (0, 0))
            stop.set()
            await relay
        message = await inbox.next()
        await eventually(lambda: rows_left(pool), until=lambda left: left == (0, 0))
    named = {span.name: span for span in spans}
    request = rpc.get_span_context()
    for name in ("publish realtime", "publish bus"):
        span = named[name]
        assert span.context is not None
        assert span.parent is not None
        assert (span.context.trace_id, span.parent.span_id) == (request.trace_id, request.span_id)
    published = named["publish bus"].context
    assert published is not None
    sent = message.headers["traceparent"]
    assert isinstance(sent, str)
    assert sent.startswith(f"00-{published.trace_id:032x}-{published.span_id:016x}-")
    assert orjson.loads(message.body)["traceparent"] == sent
    assert {"db.add_realtime", "db.add_bus"} <= set(named)
    # What the lanes and the relay do for themselves is no part of the request.
    assert not {name for name in named if name.startswith(("db.take", "db.delete"))}
