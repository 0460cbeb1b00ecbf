"""What leaves as a frame, as a CloudEvent and as an outbox row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import orjson
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from splits.chat.events.v1.events_pb2 import MessageCreated

from servicekit.bus import encode_cloud_event
from servicekit.outbox import BusEvent, RealtimeEvent, bus_rows, realtime_rows
from servicekit.outbox.events import rfc3339
from servicekit.realtime import encode_frame

EVENT = UUID("01936e2a-0000-7000-8000-000000000001")
CONVERSATION = UUID("01936e2a-0000-7000-8000-000000000002")
AT = datetime(2026, 11, 28, 1, 2, 3, 4567, tzinfo=UTC)


def realtime_event(**changes: Any) -> RealtimeEvent:
    values: dict[str, Any] = {
        "event_id": EVENT,
        "name": "message.created",
        "recipients": ("ada", "ben"),
        "conversation_id": CONVERSATION,
        "refs": {"messageId": "m", "seq": 7},
        "occurred_at": AT,
        "data": {"message": {"text": "héllo 👋"}},
    }
    return RealtimeEvent(**{**values, **changes})


def test_a_frame_is_the_contract_without_its_cursor() -> None:
    frame = encode_frame(realtime_event())
    assert orjson.loads(frame) == {
        "type": "message.created",
        "eventId": str(EVENT),
        "eventVersion": 1,
        "occurredAt": "2026-11-28T01:02:03.004Z",
        "conversationId": str(CONVERSATION),
        "data": {"message": {"text": "héllo 👋"}},
    }
    assert "héllo 👋".encode() in frame


def test_a_frame_leaves_out_what_there_is_none_of() -> None:
    frame = orjson.loads(encode_frame(realtime_event(conversation_id=None, data=None)))
    assert "conversationId" not in frame
    assert "data" not in frame


def test_times_are_utc_with_milliseconds() -> None:
    east = timezone(timedelta(hours=2))
    assert rfc3339(datetime(2026, 1, 1, 1, 0, tzinfo=east)) == "2025-12-31T23:00:00.000Z"
    assert rfc3339(datetime(2026, 1, 1, 1, 0, 0, 999_999, tzinfo=UTC)) == "2026-01-01T01:00:00.999Z"


def test_a_row_of_a_realtime_event_holds_no_body() -> None:
    (row,) = realtime_rows([realtime_event()])
    assert b"llo" not in orjson.dumps(row)
    assert set(row) == {
        "event_id",
        "name",
        "conversation_id",
        "recipients",
        "refs",
        "traceparent",
        "occurred_at",
    }


def test_a_bus_event_is_its_protobuf_message_as_json() -> None:
    at = Timestamp()
    at.FromDatetime(AT.replace(microsecond=4000))
    message = MessageCreated(message_id="m", conversation_id="c", seq=7, sender_id="ada", created_at=at)
    event = BusEvent(EVENT, "message.created.v1", "c", message, AT)
    expected = {
        "messageId": "m",
        "conversationId": "c",
        "seq": "7",
        "senderId": "ada",
        "kind": "",
        "createdAt": "2026-11-28T01:02:03.004Z",
    }
    assert event.payload == expected
    (row,) = bus_rows([event])
    assert row["data"] == expected


def test_a_cloud_event_has_the_attributes_of_the_specification() -> None:
    event = BusEvent(EVENT, "message.created.v1", "c", {"seq": "7"}, AT)
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    body = encode_cloud_event(event, source="/message_svc", traceparent=traceparent)
    assert orjson.loads(body) == {
        "specversion": "1.0",
        "id": str(EVENT),
        "source": "/message_svc",
        "type": "message.created.v1",
        "subject": "c",
        "time": "2026-11-28T01:02:03.004Z",
        "datacontenttype": "application/json",
        "traceparent": traceparent,
        "data": {"seq": "7"},
    }
    assert b"traceparent" not in encode_cloud_event(event, source="/message_svc", traceparent=None)


def test_what_is_not_json_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        encode_frame(realtime_event(data={"text": "\ud800"}))
    with pytest.raises(TypeError):
        encode_frame(realtime_event(data={"set": {1}}))
