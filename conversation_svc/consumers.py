"""Events of others -> actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from conversation_svc.actions.record_reminders import record_reminders
from conversation_svc.domain.mail import HeardOf
from servicekit.consumer import CloudEvent, Handler, MalformedEvent
from servicekit.db import Executor

MAIL_EVENTS = ("message.created.v1",)


def remind_of_messages(delay: timedelta) -> Handler:
    """Each message of a person is mailed about after `delay`, to whoever has not read it then."""

    async def handle(conn: Executor, events: Sequence[CloudEvent]) -> None:
        heard = [heard_of(event.data, delay) for event in events]
        await record_reminders(conn, [message for message in heard if message is not None])

    return handle


def heard_of(created: Mapping[str, Any], delay: timedelta) -> HeardOf | None:
    """What `MessageCreated` says of a message of a person. MalformedEvent when it is something else.

    Reads the JSON of the contract as it is: `CloudEvent.read` takes ten times as long.
    """
    try:
        if created["kind"] != "text":
            return None
        sender_id = created["senderId"]
        if not (isinstance(sender_id, str) and sender_id):
            raise ValueError
        return HeardOf(
            UUID(created["conversationId"]),
            int(created["seq"]),
            sender_id,
            datetime.fromisoformat(created["createdAt"]) + delay,
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise MalformedEvent("not a MessageCreated") from None


async def ignore_messages(_conn: Executor, _events: Sequence[CloudEvent]) -> None:
    """While no mail is sent nothing may wait for it, neither in the queue nor in the table."""
