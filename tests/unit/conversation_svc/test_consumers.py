"""What is read of `conversation.written.v1` and `message.created.v1` is what their contracts put there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from splits.chat.events.v1 import events_pb2

from conversation_svc.consumers import heard_of
from conversation_svc.domain.mail import HeardOf
from servicekit.consumer import MalformedEvent

CONVERSATION = UUID("01a22065-08c6-75a5-a0d5-24eb42d38474")
DELAY = timedelta(minutes=15)


def created(at: datetime, kind: str = "text") -> dict[str, Any]:
    """The event's data, as the bus carries it."""
    created_at = Timestamp()
    created_at.FromDatetime(at)
    message = events_pb2.MessageCreated(
        message_id=str(CONVERSATION),
        conversation_id=str(CONVERSATION),
        seq=2**40,
        sender_id="ada",
        kind=kind,
        created_at=created_at,
    )
    return MessageToDict(message, always_print_fields_with_no_presence=True)


@pytest.mark.parametrize("microsecond", [0, 120_000, 123_000, 123_456])
def test_a_persons_message_is_heard_of(microsecond: int) -> None:
    at = datetime(2026, 2, 3, 4, 5, 6, microsecond, tzinfo=UTC)
    assert heard_of(created(at), DELAY) == HeardOf(CONVERSATION, 2**40, "ada", at + DELAY, None)


def written(at: datetime, covered_until: datetime) -> dict[str, Any]:
    """The event's data, as the bus carries it."""
    times = [Timestamp(), Timestamp()]
    times[0].FromDatetime(at)
    times[1].FromDatetime(covered_until)
    event = events_pb2.ConversationWritten(
        conversation_id=str(CONVERSATION),
        seq=2**40,
        sender_id="ada",
        kind="text",
        created_at=times[0],
        covered_until=times[1],
    )
    return MessageToDict(event, always_print_fields_with_no_presence=True)


def test_what_a_person_writes_is_heard_of_with_how_long_it_stands() -> None:
    at = datetime(2026, 2, 3, 4, 5, 6, 7, tzinfo=UTC)
    until = at + timedelta(minutes=2)
    assert heard_of(written(at, until), DELAY) == HeardOf(CONVERSATION, 2**40, "ada", at + DELAY, until)


def test_how_long_it_stands_has_to_be_a_time() -> None:
    now = datetime.now(UTC)
    with pytest.raises(MalformedEvent):
        heard_of({**written(now, now), "coveredUntil": None}, DELAY)


def test_a_message_of_the_system_is_not() -> None:
    assert heard_of(created(datetime.now(UTC), kind="system"), DELAY) is None


@pytest.mark.parametrize("field", ["conversationId", "seq", "senderId", "kind", "createdAt"])
def test_what_lacks_a_field_is_malformed(field: str) -> None:
    whole = created(datetime.now(UTC))
    del whole[field]
    with pytest.raises(MalformedEvent):
        heard_of(whole, DELAY)


@pytest.mark.parametrize("field", ["conversationId", "seq", "senderId", "createdAt"])
@pytest.mark.parametrize("value", [None, "", [], {"a": 1}])
def test_what_holds_something_else_is_malformed(field: str, value: object) -> None:
    with pytest.raises(MalformedEvent):
        heard_of({**created(datetime.now(UTC)), field: value}, DELAY)
