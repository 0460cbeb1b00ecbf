"""One sink and its table: what the lane and the relay of each kind of event need to know."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

import asyncpg

from servicekit.db import Queries, Query
from servicekit.outbox.events import BusEvent, RealtimeEvent, Refused

QUERIES = Queries.load(Path(__file__).parents[1] / "sql" / "outbox_queries.sql")


class Event(Protocol):
    """What both kinds have."""

    event_id: UUID
    name: str


EventT = TypeVar("EventT", bound=Event)
_Published_contra = TypeVar("_Published_contra", bound=Event, contravariant=True)


class Publisher(Protocol[_Published_contra]):
    """Where events go: `RealtimePublisher` or `BusPublisher`."""

    async def publish(self, events: Sequence[_Published_contra]) -> Refused:
        """Publish in order. Raises SinkUnavailable; returns those it will not take though it is there."""
        ...


@dataclass(frozen=True, slots=True)
class Sink(Generic[EventT]):
    """A publisher with the statements of its table.

    `gather_s` is how long events gather before the immediate publish, where a batch is much cheaper and
    nobody waits; `delete_every_s` how long rows gather that are to be deleted, far less than the three
    seconds after which the relay looks at them. `weight` is how many deliveries an event is. `body_lives_s`
    bounds a publish from memory where events have bodies: a connection that comes about late must not carry
    what was taken back meanwhile.
    """

    name: str
    publisher: Publisher[EventT]
    take: Query
    delete: Query
    postpone: Query
    decode: Callable[[asyncpg.Record], EventT]
    weight: Callable[[EventT], int]
    gather_s: float
    delete_every_s: float
    body_lives_s: float | None


def realtime_sink(publisher: Publisher[RealtimeEvent]) -> Sink[RealtimeEvent]:
    """Sockets, through Redis."""
    return Sink(
        "realtime",
        publisher,
        take=QUERIES.take_realtime,
        delete=QUERIES.delete_realtime,
        postpone=QUERIES.postpone_realtime,
        decode=_decode_realtime,
        weight=lambda event: len(event.recipients),
        gather_s=0.0,
        delete_every_s=0.2,  # a redaction may wait for it (ADR 0010)
        body_lives_s=1.5,
    )


def bus_sink(publisher: Publisher[BusEvent]) -> Sink[BusEvent]:
    """RabbitMQ."""
    return Sink(
        "bus",
        publisher,
        take=QUERIES.take_bus,
        delete=QUERIES.delete_bus,
        postpone=QUERIES.postpone_bus,
        decode=_decode_bus,
        weight=lambda _: 1,
        gather_s=0.05,
        delete_every_s=0.25,
        body_lives_s=None,
    )


def _decode_realtime(row: asyncpg.Record) -> RealtimeEvent:
    refs: dict[str, Any] = row["refs"]
    return RealtimeEvent(
        event_id=row["event_id"],
        name=row["name"],
        recipients=tuple(row["recipients"]),
        conversation_id=row["conversation_id"],
        refs=refs,
        occurred_at=row["occurred_at"],
        traceparent=row["traceparent"],
    )


def _decode_bus(row: asyncpg.Record) -> BusEvent:
    return BusEvent(
        event_id=row["event_id"],
        name=row["name"],
        subject=row["subject"],
        data=row["data"],
        occurred_at=row["occurred_at"],
        traceparent=row["traceparent"],
    )
