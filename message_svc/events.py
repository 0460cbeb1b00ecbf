"""What message_svc publishes.

Realtime, to each member's devices: `message.created` and `message.updated` (with the message as the public
contract shows it), `conversation.requested` or `conversation.updated` when a conversation opens,
`read.receipt`, and `conversation.updated` to the devices of somebody whose own view changed. Conversation
events carry no data: the edge joins the receiver's own view. To RabbitMQ: `message.created.v1`,
`conversation.written.v1`, `conversation.requested.v1`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from splits.chat.events.v1 import events_pb2

from message_svc.domain import GateSnapshot, State, StoredMessage
from servicekit.ids import new_id
from servicekit.outbox import BusEvent, RealtimeEvent
from servicekit.outbox.events import rfc3339, uuid_text


def message_json(message: StoredMessage) -> dict[str, Any]:
    """A message as the public contract shows it (`Message`)."""
    return {
        "id": uuid_text(message.id),
        "clientMessageId": message.client_message_id,
        "conversationId": uuid_text(message.conversation_id),
        "seq": message.seq,
        "changeSeq": message.change_seq,
        "senderId": message.sender_id,
        "kind": message.kind,
        "text": message.text,
        "links": [{"start": link.start, "end": link.end, "url": link.url} for link in message.links],
        "attachments": [],
        "replyToId": None if message.reply_to_id is None else str(message.reply_to_id),
        "createdAt": rfc3339(message.created_at),
        "editedAt": None if message.edited_at is None else rfc3339(message.edited_at),
        "redactedAt": None if message.redacted_at is None else rfc3339(message.redacted_at),
        "redactedBy": message.redacted_by,
    }


def links_shown(gate: GateSnapshot, message: StoredMessage) -> StoredMessage:
    """As everybody present may see it: one event serves all, so links show where all may follow them."""
    return message if gate.all_follow_links else message.shown_to(None)


def message_created(
    message: StoredMessage, recipients: Sequence[str], traceparent: str | None
) -> tuple[RealtimeEvent, BusEvent]:
    """A message is stored: to every device of every member, and to the bus without its text."""
    event_id, shown = new_id(), message_json(message)
    message_id, conversation_id = shown["id"], shown["conversationId"]
    realtime = RealtimeEvent(
        event_id=event_id,
        name="message.created",
        recipients=tuple(recipients),
        conversation_id=message.conversation_id,
        refs={"messageId": message_id, "seq": message.seq, "changeSeq": message.change_seq},
        occurred_at=message.created_at,
        data={"message": shown},
        traceparent=traceparent,
    )
    bus = BusEvent(
        event_id=event_id,
        name="message.created.v1",
        subject=conversation_id,
        # `MessageCreated` as JSON, by hand: protobuf's printer cost more than all else that a send decides.
        data={
            "messageId": message_id,
            "conversationId": conversation_id,
            "seq": str(message.seq),
            "senderId": message.sender_id,
            "kind": message.kind,
            "createdAt": _protobuf_time(message.created_at),
        },
        occurred_at=message.created_at,
        traceparent=traceparent,
    )
    return realtime, bus


def conversation_written(
    message: StoredMessage, covered_until: datetime, traceparent: str | None
) -> BusEvent:
    """Somebody writes, for the first time in a while: to the bus, beside `message.created.v1`."""
    conversation_id = uuid_text(message.conversation_id)
    return BusEvent(
        event_id=new_id(),
        name="conversation.written.v1",
        subject=conversation_id,
        data={  # `ConversationWritten`
            "conversationId": conversation_id,
            "seq": str(message.seq),
            "senderId": message.sender_id,
            "kind": message.kind,
            "createdAt": _protobuf_time(message.created_at),
            "coveredUntil": _protobuf_time(covered_until),
        },
        occurred_at=message.created_at,
        traceparent=traceparent,
    )


@lru_cache(maxsize=256)  # a batch has one time
def _protobuf_time(at: datetime) -> str:
    """As protobuf's JSON mapping has it: UTC, with no, three or six digits of a second."""
    digits = "microseconds" if at.microsecond % 1000 else "milliseconds" if at.microsecond else "seconds"
    return at.astimezone(UTC).isoformat(timespec=digits).removesuffix("+00:00") + "Z"


def message_updated(message: StoredMessage, recipients: Sequence[str], at: datetime) -> RealtimeEvent:
    """A message changed (edited, redacted, its links came alive): as it stands now."""
    return RealtimeEvent(
        event_id=new_id(),
        name="message.updated",
        recipients=tuple(recipients),
        conversation_id=message.conversation_id,
        refs={"messageId": str(message.id), "seq": message.seq, "changeSeq": message.change_seq},
        occurred_at=at,
        data={"message": message_json(message)},
    )


def conversation_opened(
    gate: GateSnapshot, initiator_id: str, at: datetime, traceparent: str | None
) -> tuple[RealtimeEvent, BusEvent | None]:
    """A conversation's first message is stored: it becomes visible to its members.

    One that opens accepted (the people are connected) asks nothing, so it is an update and no request.
    """
    event_id = new_id()
    request = gate.state is State.REQUEST
    realtime = RealtimeEvent(
        event_id=event_id,
        name="conversation.requested" if request else "conversation.updated",
        recipients=gate.present,
        conversation_id=gate.conversation_id,
        refs={},
        occurred_at=at,
        traceparent=traceparent,
    )
    if not request:
        return realtime, None
    bus = BusEvent(
        event_id=event_id,
        name="conversation.requested.v1",
        subject=str(gate.conversation_id),
        data=events_pb2.ConversationRequested(
            conversation_id=str(gate.conversation_id),
            initiator_id=initiator_id,
            participant_ids=gate.present,
        ),
        occurred_at=at,
        traceparent=traceparent,
    )
    return realtime, bus


def read_receipt(
    conversation_id: UUID, user_id: str, last_read_seq: int, recipients: Sequence[str], at: datetime
) -> RealtimeEvent:
    """Somebody's read pointer moved, to those who may know."""
    return RealtimeEvent(
        event_id=new_id(),
        name="read.receipt",
        recipients=tuple(recipients),
        conversation_id=conversation_id,
        refs={"userId": user_id, "lastReadSeq": last_read_seq, "at": rfc3339(at)},
        occurred_at=at,
        data={"userId": user_id, "lastReadSeq": last_read_seq, "at": rfc3339(at)},
    )


def own_view_changed(conversation_id: UUID, user_id: str, at: datetime) -> RealtimeEvent:
    """The person's own counts changed: to their own devices, so that badges agree everywhere."""
    return RealtimeEvent(
        event_id=new_id(),
        name="conversation.updated",
        recipients=(user_id,),
        conversation_id=conversation_id,
        refs={},
        occurred_at=at,
    )
