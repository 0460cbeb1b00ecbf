"""The relay of one sink: sweeps the rows that the immediate publish left, in their order.

Any number of relays may sweep one table: a row being swept is locked, and others skip it. A crash
between publishing and the commit publishes again, which every receiver tolerates.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Generic
from uuid import UUID

import asyncpg
import structlog

from servicekit.clock import Clock
from servicekit.db import Executor
from servicekit.faults import as_unavailable
from servicekit.outbox.events import SinkUnavailable
from servicekit.outbox.pause import Pause
from servicekit.outbox.sink import EventT, Sink
from servicekit.runner import until_stop
from servicekit.telemetry import safe_traceback

_ACQUIRE_TIMEOUT_S = 5.0
# Some seventeen minutes of them: after a long absence a sink may refuse for a while what it takes later.
_LEAST_TRIES = 10
log = structlog.get_logger(__name__)


class Relay(Generic[EventT]):
    """`render` reads again what a row does not keep; None in its answer withdraws the event.

    An event that cannot be published though its sink is there is given up once it is as old as `keep` and has
    been tried often enough.
    """

    def __init__(
        self,
        sink: Sink[EventT],
        pool: asyncpg.Pool,
        *,
        render: Callable[[Sequence[EventT]], Awaitable[list[EventT | None]]] | None,
        poll_s: float,
        batch: int,
        clock: Clock,
        keep: timedelta,
    ) -> None:
        self._sink = sink
        self._pool = pool
        self._render = render
        self._poll_s = poll_s
        self._batch = batch
        self._clock = clock
        self._keep = keep

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep until `stop` is set. No fault ends it: nothing is lost by trying later."""
        pause = Pause()
        while not stop.is_set():
            try:
                taken = await self.sweep()
            except Exception as error:  # noqa: BLE001 - whatever it was, the rows are still there
                if pause.begin() == 1:
                    self._report(error)
                await until_stop(stop, pause.left())
                continue
            if pause.end():
                log.info("relay works again", sink=self._sink.name)
            if taken < self._batch:
                await until_stop(stop, self._poll_s * random.uniform(0.8, 1.2))  # noqa: S311 - jitter

    async def sweep(self) -> int:
        """Publish and delete one batch of what is due; returns how many rows it took.

        Raises SinkUnavailable when none of them arrived, or a fault of Postgres, with all rows as they were.
        """
        async with self._pool.acquire(timeout=_ACQUIRE_TIMEOUT_S) as conn, conn.transaction():
            rows = await self._sink.take.fetch(conn, self._batch)
            if not rows:
                return 0
            poison: dict[UUID, str] = {}
            events = await self._rendered([self._sink.decode(row) for row in rows], poison)
            if events:
                try:
                    poison.update(await self._sink.publisher.publish(events))
                except SinkUnavailable as error:
                    if not error.published:
                        raise
                    # Else who takes less than a batch in the time there is would get the same one for ever.
                    await self._sink.delete.execute(conn, list(error.published))
                    return len(error.published)
            too_old = self._clock.now() - self._keep
            hopeless = {
                row["event_id"]
                for row in rows
                if row["occurred_at"] < too_old and row["attempts"] + 1 >= _LEAST_TRIES
            }
            given_up = hopeless & poison.keys()
            done = [row["event_id"] for row in rows if row["event_id"] not in poison]
            await self._sink.delete.execute(conn, [*done, *given_up])
            if poison:
                await self._postpone(conn, rows, poison, given_up)
        return len(rows)

    async def _rendered(self, events: list[EventT], poison: dict[UUID, str]) -> list[EventT]:
        """What is to be published; events that cannot be rendered go to `poison`, with the reason."""
        if self._render is None:
            return events
        try:
            return [event for event in await self._render(events) if event is not None]
        except Exception as error:
            if _passing(error):
                raise
            log.warning("rendering one by one", sink=self._sink.name, error=type(error).__name__)
        rendered = []
        for event in events:
            try:
                rendered += [each for each in await self._render([event]) if each is not None]
            except Exception as error:
                if _passing(error):
                    raise
                poison[event.event_id] = safe_traceback(error)
        return rendered

    async def _postpone(
        self, conn: Executor, rows: list[asyncpg.Record], poison: dict[UUID, str], given_up: set[UUID]
    ) -> None:
        await self._sink.postpone.execute(conn, list(poison.keys() - given_up))
        for row in rows:
            reason = poison.get(row["event_id"])
            if reason is not None:
                gone = row["event_id"] in given_up
                log.error(
                    f"event cannot be published, {'given up' if gone else 'tried again later'}",
                    sink=self._sink.name,
                    event_id=str(row["event_id"]),
                    event_name=row["name"],
                    attempts=row["attempts"] + 1,
                    reason=reason,
                )

    def _report(self, error: Exception) -> None:
        if isinstance(error, SinkUnavailable):
            log.warning("sink away, the relay waits", sink=self._sink.name, error=str(error))
        elif _passing(error):
            log.warning("relay failed, tries again", sink=self._sink.name, error=type(error).__name__)
        else:
            log.error("relay failed, tries again", sink=self._sink.name, exception=safe_traceback(error))


def _passing(error: Exception) -> bool:
    """Whether something behind us is away, rather than the rows at fault."""
    fault = as_unavailable(error)
    return fault is not None and fault.retryable
