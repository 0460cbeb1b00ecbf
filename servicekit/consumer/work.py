"""What is done with deliveries: a batch of those that wait, its effects and marks in one transaction."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import asyncpg
import structlog
from aio_pika.exceptions import DeliveryError

from servicekit.consumer.consumed import mark_consumed
from servicekit.consumer.delivery import Delivery, Source
from servicekit.consumer.event import CloudEvent
from servicekit.consumer.spans import consume_spans
from servicekit.consumer.topology import TRIES, Subscription
from servicekit.db import Executor
from servicekit.faults import as_unavailable
from servicekit.outbox.pause import Pause
from servicekit.runner import until_stop
from servicekit.telemetry import attach_traceparent, safe_traceback

Handler = Callable[[Executor, Sequence[CloudEvent]], Awaitable[None]]
"""The effects of events, inside the transaction that marks them: it writes through this connection alone.

It is called again with each of them alone when it raised for several, and its transaction is rolled back
each time that it raises."""

_ACQUIRE_SECONDS = 5
log = structlog.get_logger(__name__)


class Inbox:
    """Deliveries that wait; no more than the broker's prefetch."""

    def __init__(self) -> None:
        self._waiting: deque[Delivery] = deque()
        self._changed = asyncio.Event()
        self._closed = False

    def put(self, delivery: Delivery) -> None:
        self._waiting.append(delivery)
        self._changed.set()

    def close(self, *, discard: bool) -> None:
        """No more will come; what waits is still taken out, or left to the broker to deliver again."""
        self._closed = True
        if discard:
            self._waiting.clear()
        self._changed.set()

    async def take(self) -> list[Delivery]:
        """The next that wait, as soon as there are any; none at the end.

        What somebody may have died over comes alone.
        """
        while not self._waiting and not self._closed:
            self._changed.clear()
            await self._changed.wait()
        batch: list[Delivery] = []
        while self._waiting and not (batch and (batch[-1].redelivered or self._waiting[0].redelivered)):
            batch.append(self._waiting.popleft())
        return batch


class Worker:
    """Takes effect once for each event, and says so to the broker, whatever comes in between.

    Of a batch that fails, each event is tried alone: only those that fail alone are counted. A passing
    fault (`servicekit.faults`) counts for none of them, and makes the worker pause.
    """

    def __init__(
        self, subscription: Subscription, pool: asyncpg.Pool, handler: Handler, stop: asyncio.Event
    ) -> None:
        self._subscription = subscription
        self._pool = pool
        self._handler = handler
        self._stop = stop
        self._fault = Pause()
        self._log = log.bind(consumer=subscription.queue)

    async def run(self, source: Source, inbox: Inbox) -> None:
        """Works until the inbox is closed and empty. Raises what the broker's end of it raises."""
        while batch := await inbox.take():
            try:
                await self._settle(source, batch)
            except DeliveryError as error:
                # The queue to wait in took no copy, or is not there. What is not settled comes again in
                # the next session, which makes what is missing.
                self._log.warning("nowhere to wait", error=type(error).__name__)
                raise

    async def _settle(self, source: Source, batch: Sequence[Delivery]) -> None:
        while self._fault.holds() and not self._stop.is_set():
            await until_stop(self._stop, self._fault.left())
        if self._fault.holds():  # stopping: what has not begun is another worker's
            for delivery in batch:
                await source.defer(delivery)
            return
        try:
            await self._consume(batch)
        except Exception as error:  # noqa: BLE001 - whatever it was, the queue must flow on
            fault = as_unavailable(error)
            if fault is not None and fault.retryable:
                self._fault.begin()
                ids = [delivery.message_id for delivery in batch]
                self._log.warning("events wait", message_ids=ids, cause=type(error).__name__)
                for delivery in batch:
                    await source.defer(delivery)
            elif len(batch) > 1:
                self._log.info("a batch failed, its events are tried alone", count=len(batch))
                for delivery in batch:
                    await self._settle(source, [delivery])
            else:
                await self._fail(source, batch[0], error)
        else:
            self._fault.end()
            await source.acknowledge(batch)

    async def _consume(self, batch: Sequence[Delivery]) -> None:
        with consume_spans(self._subscription.queue, batch):
            known = await self._take_effect([CloudEvent.parse(delivery.body) for delivery in batch])
        for event in known:
            self._log.info("event known already", event_id=str(event.event_id), event_name=event.name)

    async def _take_effect(self, events: Sequence[CloudEvent]) -> list[CloudEvent]:
        """Returns those that had taken effect before."""
        first: list[CloudEvent] = []
        known: list[CloudEvent] = []
        async with self._pool.acquire(timeout=_ACQUIRE_SECONDS) as conn, conn.transaction():
            ids = [event.event_id for event in events]
            new = await mark_consumed(conn, self._subscription.consumer, ids)
            for event in events:
                (first if event.event_id in new else known).append(event)
                new.discard(event.event_id)  # one that is there twice takes effect once, too
            if first:
                await self._handler(conn, first)
        return known

    async def _fail(self, source: Source, delivery: Delivery, error: Exception) -> None:
        failures = delivery.failed + 1
        gone = failures >= TRIES
        say = self._log.error if gone else self._log.warning
        with attach_traceparent(delivery.traceparent):
            say(
                "event given up" if gone else "event failed, tried again later",
                message_id=delivery.message_id,
                failures=failures,
                exception=safe_traceback(error),
            )
        if gone:
            await source.give_up(delivery)
        else:
            await source.fail(delivery)
