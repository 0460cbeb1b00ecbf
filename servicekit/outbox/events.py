"""What is published: events for sockets and for the bus, and the rows that keep them until then."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from servicekit.telemetry import current_traceparent


class SinkUnavailable(Exception):  # noqa: N818 - a state of the sink, said as one
    """Redis or RabbitMQ cannot take events now.

    `published` have arrived; nothing says of the batch's others whether they were lost or kept.
    """

    def __init__(self, text: str, published: Collection[UUID] = ()) -> None:
        super().__init__(text)
        self.published = published


Refused = Mapping[UUID, str]
"""Events that a sink will not take though it is there, by id, with the reason. Empty: all were published."""


@dataclass(slots=True)
class RealtimeEvent:
    """An event for the sockets of `recipients` (user ids).

    `refs` holds ids and numbers only and is what the outbox keeps. `data` is what the frame carries;
    it lives in memory for the immediate publish and never reaches the table: the relay reads it again.
    `traceparent` is the trace in which the event was made.
    """

    event_id: UUID
    name: str
    recipients: tuple[str, ...]
    conversation_id: UUID | None
    refs: dict[str, Any]
    occurred_at: datetime
    data: Mapping[str, Any] | None = None
    traceparent: str | None = field(default_factory=current_traceparent)


@dataclass(slots=True)
class BusEvent:
    """An event for RabbitMQ: a CloudEvent whose routing key is `name`, such as `message.created.v1`.

    `data` is the event's protobuf message, or that message as JSON; `payload` is always the JSON
    (camelCase, every field present, 64-bit numbers as text as protobuf's mapping has it).
    """

    event_id: UUID
    name: str
    subject: str
    data: Message | Mapping[str, Any]
    occurred_at: datetime
    traceparent: str | None = field(default_factory=current_traceparent)
    payload: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        if isinstance(self.data, Message):
            self.payload = MessageToDict(self.data, always_print_fields_with_no_presence=True)
        else:
            self.payload = self.data


def realtime_rows(events: Sequence[RealtimeEvent]) -> list[dict[str, Any]]:
    """The jsonb argument of an insert into outbox_realtime (see `sql/outbox_queries.sql`). No body."""
    return [
        {
            "event_id": event.event_id,
            "name": event.name,
            "conversation_id": event.conversation_id,
            "recipients": event.recipients,
            "refs": event.refs,
            "traceparent": event.traceparent,
            "occurred_at": event.occurred_at,
        }
        for event in events
    ]


def bus_rows(events: Sequence[BusEvent]) -> list[dict[str, Any]]:
    """The jsonb argument of an insert into outbox_bus (see `sql/outbox_queries.sql`)."""
    return [
        {
            "event_id": event.event_id,
            "name": event.name,
            "subject": event.subject,
            "data": event.payload,
            "traceparent": event.traceparent,
            "occurred_at": event.occurred_at,
        }
        for event in events
    ]


def uuid_text(identifier: UUID) -> str:
    """As `str` has it, in a third of the time."""
    return orjson.dumps(identifier)[1:-1].decode()


@lru_cache(maxsize=256)
def rfc3339(moment: datetime) -> str:
    """A time as the contract has it: UTC, milliseconds, `Z`."""
    # Remembered: a message, its frame, its entry and its CloudEvent are of one moment, and so is a batch.
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
