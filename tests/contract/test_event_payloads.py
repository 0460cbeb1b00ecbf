"""What is written by hand for RabbitMQ is what the events' contracts say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from splits.chat.events.v1 import events_pb2

from message_svc.domain import StoredMessage
from message_svc.events import conversation_written, message_created
from servicekit.ids import new_id

NOON = datetime(2026, 11, 28, 12, 0, 1, tzinfo=UTC)


def stored(created_at: datetime, seq: int) -> StoredMessage:
    conversation_id = UUID("0193736e-0000-7000-8000-000000000001")
    return StoredMessage(
        id=new_id(),
        conversation_id=conversation_id,
        seq=seq,
        change_seq=seq,
        sender_id="user_ä/\\\"'",
        client_message_id="c1",
        kind="text",
        text="hello",
        body_hash=b"hash",
        created_at=created_at,
    )


@pytest.mark.parametrize("seq", [1, 2**53 + 1, 2**63 - 1])
@pytest.mark.parametrize(
    "created_at",
    [
        NOON,
        NOON.replace(microsecond=120_000),
        NOON.replace(microsecond=120_001),
        NOON.replace(microsecond=1),
        NOON.astimezone(timezone(timedelta(hours=-5, minutes=-30))),
    ],
)
def test_a_created_message_is_written_as_protobuf_would(created_at: datetime, seq: int) -> None:
    message = stored(created_at, seq)

    _, event = message_created(message, ["ada", "bob"], None)

    parsed = ParseDict(dict(event.payload), events_pb2.MessageCreated())
    assert MessageToDict(parsed, always_print_fields_with_no_presence=True) == event.payload
    assert parsed.message_id == str(message.id)
    assert parsed.conversation_id == str(message.conversation_id)
    assert (parsed.seq, parsed.sender_id, parsed.kind) == (seq, message.sender_id, "text")
    assert parsed.created_at.ToDatetime(UTC) == created_at
    fields = {field.json_name for field in events_pb2.MessageCreated.DESCRIPTOR.fields}
    assert set(event.payload) == fields


@pytest.mark.parametrize("covered_until", [NOON, NOON.replace(microsecond=120_001)])
def test_what_is_written_is_told_as_protobuf_would(covered_until: datetime) -> None:
    message = stored(NOON, 2**53 + 1)

    event = conversation_written(message, covered_until, None)

    parsed = ParseDict(dict(event.payload), events_pb2.ConversationWritten())
    assert MessageToDict(parsed, always_print_fields_with_no_presence=True) == event.payload
    assert parsed.conversation_id == str(message.conversation_id)
    assert (parsed.seq, parsed.sender_id, parsed.kind) == (2**53 + 1, message.sender_id, "text")
    assert parsed.created_at.ToDatetime(UTC) == NOON
    assert parsed.covered_until.ToDatetime(UTC) == covered_until
    assert set(event.payload) == {
        field.json_name for field in events_pb2.ConversationWritten.DESCRIPTOR.fields
    }
