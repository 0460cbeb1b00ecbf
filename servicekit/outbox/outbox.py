"""The outbox of one service process: rows in the transaction, publishing after it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import asyncpg

from servicekit.clock import Clock, SystemClock
from servicekit.db import Executor
from servicekit.outbox.events import BusEvent, RealtimeEvent, bus_rows, realtime_rows
from servicekit.outbox.lane import Lane
from servicekit.outbox.relay import Relay
from servicekit.outbox.sink import QUERIES, Publisher, bus_sink, realtime_sink

Renderer = Callable[[Sequence[RealtimeEvent]], Awaitable[list[RealtimeEvent | None]]]
"""Fills in `data` of events read from the table, one answer each; None withdraws an event (its message
was redacted meanwhile). What it raises for one event postpones that event alone; a fault of Postgres or
Redis postpones all."""


class Outbox:
    """Rows in the caller's transaction, then an immediate publish, and a relay for what is left.

    `queue_limit` events wait in memory for each sink; `poll_s` is how often the relay looks, and `batch`
    how many rows it takes at once. `keep` is the age at which an event is given up that cannot be published
    though its sink is there; what waits for a sink waits as long as it must. The relay holds a connection
    of the pool for each sink while it publishes, and `render` may need one more.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        realtime: Publisher[RealtimeEvent],
        bus: Publisher[BusEvent],
        *,
        render: Renderer,
        clock: Clock | None = None,
        queue_limit: int = 10_000,
        poll_s: float = 1.0,
        batch: int = 200,
        keep: timedelta = timedelta(days=14),
    ) -> None:
        clock = clock or SystemClock()
        to_realtime, to_bus = realtime_sink(realtime), bus_sink(bus)
        self._realtime_lane = Lane(to_realtime, pool, clock, queue_limit)
        self._bus_lane = Lane(to_bus, pool, clock, queue_limit)
        self._realtime_relay = Relay(
            to_realtime, pool, render=render, poll_s=poll_s, batch=batch, clock=clock, keep=keep
        )
        self._bus_relay = Relay(to_bus, pool, render=None, poll_s=poll_s, batch=batch, clock=clock, keep=keep)

    async def add(
        self, conn: Executor, *, realtime: Sequence[RealtimeEvent] = (), bus: Sequence[BusEvent] = ()
    ) -> None:
        """Write the events inside the caller's transaction."""
        if realtime:
            await QUERIES.add_realtime.execute(conn, realtime_rows(realtime))
        if bus:
            await QUERIES.add_bus.execute(conn, bus_rows(bus))

    def publish_soon(self, *, realtime: Sequence[RealtimeEvent] = (), bus: Sequence[BusEvent] = ()) -> None:
        """Publish events whose rows are committed, in the given order; call it right after the commit.

        Returns at once and never raises. What cannot be published within two seconds, or while the queue
        is full or the sink away, stays in the table for the relay.
        """
        self._realtime_lane.offer(realtime)
        self._bus_lane.offer(bus)

    async def run_relay(self, stop: asyncio.Event) -> None:
        """Sweep both tables, each on its own, until `stop` is set."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._realtime_relay.run(stop), name="outbox relay realtime")
            both.create_task(self._bus_relay.run(stop), name="outbox relay bus")

    async def close(self, grace_s: float = 2.0) -> None:
        """Publish what waits in memory, for at most `grace_s`; the publishers and the pool stay open."""
        await asyncio.gather(self._realtime_lane.close(grace_s), self._bus_lane.close(grace_s))
