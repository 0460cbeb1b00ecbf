"""What conversation_svc publishes, and what it owes until a push is confirmed.

A change of rights is told only once message_svc enforces it. Until then its events stand in `owed_events`,
each with the gate versions that it waits for.

Realtime: `conversation.accepted`, `conversation.declined` and `conversation.updated` with refs `{"version"}`,
no data (the edge joins the receiver's own view); `block.created` and `block.removed` with
`{"userId", "version"}`. Each goes to one person, since a conversation's version is theirs alone.
Bus: `conversation.accepted.v1`, `conversation.declined.v1`, `conversation.withdrawn.v1`,
`conversation.expired.v1`, `block.created.v1`, `block.removed.v1`. `conversation.requested` is message_svc's:
it stores the first message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

import asyncpg
from google.protobuf.timestamp_pb2 import Timestamp
from splits.chat.events.v1 import events_pb2

from conversation_svc.domain import Participant, Situation
from servicekit.ids import new_id
from servicekit.outbox import BusEvent, RealtimeEvent

BLOCK_EVENTS = ("block.created", "block.removed")


@dataclass(frozen=True, slots=True)
class Owed:
    """An event and the gate versions that have to be held before it may leave.

    `conversation_id` is set for an event about one conversation, which also waits until that is open.
    """

    event: RealtimeEvent | BusEvent
    waits: Mapping[UUID, int]
    conversation_id: UUID | None


def accepted(after: Situation, accepted_by: str, now: datetime) -> list[Owed]:
    """To everybody in the conversation, and to the bus."""
    data = events_pb2.ConversationAccepted(
        conversation_id=str(after.conversation.id), accepted_by=accepted_by, accepted_at=_timestamp(now)
    )
    return [
        *_to_people("conversation.accepted", after, after.participants, now),
        _to_bus("conversation.accepted.v1", after, data, now),
    ]


def declined(after: Situation, declined_by: str, reason: str, now: datetime) -> list[Owed]:
    """To the decliner's own devices and to the bus; never to the initiator."""
    data = events_pb2.ConversationDeclined(
        conversation_id=str(after.conversation.id),
        declined_by=declined_by,
        reason=reason,
        declined_at=_timestamp(now),
    )
    people = [person for person in after.participants if person.user_id == declined_by]
    return [
        *_to_people("conversation.declined", after, people, now),
        _to_bus("conversation.declined.v1", after, data, now),
    ]


def withdrawn(before: Situation, after: Situation, withdrawn_by: str, now: datetime) -> list[Owed]:
    """To those who can see it - not to a recipient who had declined - and to the bus."""
    data = events_pb2.ConversationWithdrawn(
        conversation_id=str(after.conversation.id), withdrawn_by=withdrawn_by, withdrawn_at=_timestamp(now)
    )
    return [
        *_to_people("conversation.updated", after, moved_people(before, after), now),
        _to_bus("conversation.withdrawn.v1", after, data, now),
    ]


def expired(before: Situation, after: Situation, now: datetime) -> list[Owed]:
    """To those who can see it - not to a recipient who had declined - and to the bus."""
    data = events_pb2.ConversationExpired(
        conversation_id=str(after.conversation.id), expired_at=_timestamp(now)
    )
    return [
        *updated(before, after, now),
        _to_bus("conversation.expired.v1", after, data, now),
    ]


def updated(before: Situation, after: Situation, now: datetime) -> list[Owed]:
    """To those whose view the change moved, and to nobody else."""
    return _to_people("conversation.updated", after, moved_people(before, after), now)


def block_changed(
    *,
    created: bool,
    blocker_id: str,
    blocked_id: str,
    version: int,
    pair: Sequence[Situation],
    now: datetime,
) -> list[Owed]:
    """To the blocker's own devices and to the bus, once every conversation of the pair enforces it."""
    waits = {each.conversation.id: each.conversation.gate_version for each in pair}
    data: events_pb2.BlockCreated | events_pb2.BlockRemoved
    if created:
        data = events_pb2.BlockCreated(
            blocker_id=blocker_id, blocked_id=blocked_id, created_at=_timestamp(now)
        )
    else:
        data = events_pb2.BlockRemoved(
            blocker_id=blocker_id, blocked_id=blocked_id, removed_at=_timestamp(now)
        )
    name = BLOCK_EVENTS[0] if created else BLOCK_EVENTS[1]
    refs = {"userId": blocked_id, "version": version}
    return [
        Owed(RealtimeEvent(new_id(), name, (blocker_id,), None, refs, now), waits, None),
        Owed(BusEvent(new_id(), f"{name}.v1", blocker_id, data, now), waits, None),
    ]


def moved_people(before: Situation, after: Situation) -> list[Participant]:
    """Those whose version rose."""
    return [
        new
        for old, new in zip(before.participants, after.participants, strict=True)
        if new.version != old.version
    ]


async def render(events: Sequence[RealtimeEvent]) -> list[RealtimeEvent | None]:
    """Fills in what a frame carries; for a block that is its refs, for a conversation nothing."""
    return [replace(event, data=event.refs) if event.name in BLOCK_EVENTS else event for event in events]


def owed_rows(owed: Iterable[Owed]) -> list[dict[str, object]]:
    """The jsonb argument of `add_owed_events`."""
    return [_owed_row(each.event, each.conversation_id) for each in owed]


def from_owed_row(row: asyncpg.Record) -> RealtimeEvent | BusEvent:
    """The event that a row of `owed_events` holds."""
    if row["sink"] == "bus":
        return BusEvent(
            event_id=row["event_id"],
            name=row["name"],
            subject=row["subject"],
            data=row["payload"],
            occurred_at=row["occurred_at"],
            traceparent=row["traceparent"],
        )
    return RealtimeEvent(
        event_id=row["event_id"],
        name=row["name"],
        recipients=tuple(row["recipients"]),
        conversation_id=row["conversation_id"],
        refs=row["payload"],
        occurred_at=row["occurred_at"],
        traceparent=row["traceparent"],
    )


def _owed_row(event: RealtimeEvent | BusEvent, conversation_id: UUID | None) -> dict[str, object]:
    sink: Literal["realtime", "bus"] = "bus" if isinstance(event, BusEvent) else "realtime"
    return {
        "event_id": event.event_id,
        "sink": sink,
        "name": event.name,
        "conversation_id": conversation_id,
        "recipients": () if isinstance(event, BusEvent) else event.recipients,
        "subject": event.subject if isinstance(event, BusEvent) else "",
        "payload": event.payload if isinstance(event, BusEvent) else event.refs,
        "traceparent": event.traceparent,
        "occurred_at": event.occurred_at,
    }


def _to_people(name: str, after: Situation, people: Iterable[Participant], now: datetime) -> list[Owed]:
    conversation = after.conversation
    return [
        Owed(
            RealtimeEvent(
                event_id=new_id(),
                name=name,
                recipients=(person.user_id,),
                conversation_id=conversation.id,
                refs={"version": person.version},
                occurred_at=now,
            ),
            {conversation.id: conversation.gate_version},
            conversation.id,
        )
        for person in people
        if person.left_at is None
    ]


def _to_bus(
    name: str,
    after: Situation,
    data: events_pb2.ConversationAccepted
    | events_pb2.ConversationDeclined
    | events_pb2.ConversationWithdrawn
    | events_pb2.ConversationExpired,
    now: datetime,
) -> Owed:
    conversation = after.conversation
    event = BusEvent(new_id(), name, str(conversation.id), data, now)
    return Owed(event, {conversation.id: conversation.gate_version}, conversation.id)


def _timestamp(at: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp
