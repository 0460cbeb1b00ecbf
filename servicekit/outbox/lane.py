"""The immediate publish of one sink: a bounded queue in memory, one consumer, batches of what waits.

The rows are the truth and the relay has them; so whatever goes wrong here, the answer is to let go.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from itertools import repeat
from typing import Generic
from uuid import UUID

import asyncpg
import structlog

from servicekit.clock import Clock
from servicekit.outbox.events import SinkUnavailable
from servicekit.outbox.pause import Pause
from servicekit.outbox.sink import EventT, Sink
from servicekit.telemetry import safe_traceback

# A publish from memory begins this long after the commit; later the relay reads the body again.
_FRESH = timedelta(seconds=2)
_BATCH_EVENTS = 256
_BATCH_WEIGHT = 2000
log = structlog.get_logger(__name__)


class Lane(Generic[EventT]):
    """Publishes what `offer` is given, in that order, and deletes the rows it published."""

    def __init__(self, sink: Sink[EventT], pool: asyncpg.Pool, clock: Clock, queue_limit: int) -> None:
        self._sink = sink
        self._pool = pool
        self._clock = clock
        self._queue_limit = queue_limit
        self._queue: deque[tuple[datetime, EventT]] = deque()
        self._offered = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._pause = Pause()
        self._closed = False
        self._full = False
        self._consumer: asyncio.Task[None] | None = None
        self._published: list[UUID] = []
        self._deleter: asyncio.Task[None] | None = None

    def offer(self, events: Sequence[EventT]) -> None:
        """Queue the events, or leave them to the relay when closed, full, or the sink is away."""
        if not events or self._closed or self._pause.holds():
            return
        room = self._queue_limit - len(self._queue)
        if room < len(events):
            if not self._full:
                self._full = True
                log.warning("publish queue full, events wait for the relay", sink=self._sink.name)
            events = events[:room]
        else:
            self._full = False
        now = self._clock.now()
        self._queue.extend(zip(repeat(now), events))  # no strict: the moment has no end
        self._idle.clear()
        self._offered.set()
        if self._consumer is None or self._consumer.done():
            # A context of its own: the first request's trace and log fields are not this task's.
            self._consumer = asyncio.get_running_loop().create_task(
                self._consume(), name=f"outbox lane {self._sink.name}", context=contextvars.Context()
            )

    async def close(self, grace_s: float) -> None:
        """Publish what waits, for at most `grace_s`; the rest is the relay's."""
        self._closed = True
        if self._consumer is None:
            return
        try:
            async with asyncio.timeout(grace_s):
                await self._idle.wait()
        except TimeoutError:
            log.info("events left to the relay", sink=self._sink.name, waiting=len(self._queue))
        self._consumer.cancel()
        await asyncio.wait([self._consumer])
        if self._deleter is not None:
            await asyncio.wait([self._deleter], timeout=grace_s)
            self._deleter.cancel()

    async def _consume(self) -> None:
        while True:
            if not self._queue:
                self._offered.clear()
                self._idle.set()
                await self._offered.wait()
            if self._sink.gather_s and len(self._queue) < _BATCH_EVENTS and not self._closed:
                await asyncio.sleep(self._sink.gather_s)
            batch = self._next_batch()
            if batch:
                await self._publish(batch)

    def _next_batch(self) -> list[EventT]:
        oldest = self._clock.now() - _FRESH
        batch: list[EventT] = []
        weight = 0
        while self._queue and len(batch) < _BATCH_EVENTS and weight < _BATCH_WEIGHT:
            offered_at, event = self._queue.popleft()
            if offered_at >= oldest:
                batch.append(event)
                weight += self._sink.weight(event)
        return batch

    async def _publish(self, batch: list[EventT]) -> None:
        try:
            async with asyncio.timeout(self._sink.body_lives_s):
                refused = await self._sink.publisher.publish(batch)
        except (SinkUnavailable, TimeoutError) as error:
            if self._pause.begin() == 1:
                log.warning("sink away, events wait for the relay", sink=self._sink.name, error=str(error))
            self._queue.clear()
            if isinstance(error, SinkUnavailable):
                self._delete_soon(error.published)
            return
        except Exception as error:  # noqa: BLE001 - the lane outlives any one batch; the relay has the rows
            log.error("publish failed", sink=self._sink.name, exception=safe_traceback(error))
            return
        if self._pause.end():
            log.info("sink back", sink=self._sink.name)
        published = [event.event_id for event in batch]
        self._delete_soon([each for each in published if each not in refused] if refused else published)

    def _delete_soon(self, published: Collection[UUID]) -> None:
        self._published += published
        if published and (self._deleter is None or self._deleter.done()):
            self._deleter = asyncio.create_task(self._delete(), name=f"outbox delete {self._sink.name}")

    async def _delete(self) -> None:
        while self._published:
            await asyncio.sleep(0 if self._closed else self._sink.delete_every_s)
            ids, self._published = self._published, []
            try:
                await self._sink.delete.execute(self._pool, ids)
            except Exception as error:  # noqa: BLE001 - whatever it was, the answer is the same
                # The relay publishes them once more, and the receivers know them by their ids.
                log.warning(
                    "published rows not deleted",
                    sink=self._sink.name,
                    rows=len(ids),
                    error=type(error).__name__,
                )
