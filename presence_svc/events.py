"""What presence_svc publishes: frames that nothing keeps, without a cursor."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import orjson

from presence_svc.domain import Status
from servicekit.ids import new_id
from servicekit.outbox import RealtimeEvent
from servicekit.outbox.events import rfc3339
from servicekit.realtime import encode_frame


def presence_frame(user_id: str, status: Status, seen_at: datetime | None, at: datetime) -> bytes:
    """The payload of somebody's presence channel: a `presence.updated` frame."""
    data = {
        "userId": user_id,
        "status": status.value,
        "lastSeenAt": None if seen_at is None else rfc3339(seen_at),
    }
    return encode_frame(RealtimeEvent(new_id(), "presence.updated", (), None, {}, at, data))


def typing_payload(
    user_id: str, conversation_id: UUID, typing: bool, for_people: Sequence[str], at: datetime
) -> bytes:
    """The payload of a conversation's channel: for whom, and the frame (see `conversation_channel`)."""
    name = "typing.started" if typing else "typing.stopped"
    event = RealtimeEvent(new_id(), name, (), conversation_id, {}, at, {"userId": user_id})
    return orjson.dumps(for_people) + b"\n" + encode_frame(event)
