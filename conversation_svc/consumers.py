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

WRITTEN = "conversation.written.v1"
EVERY_MESSAGE = "message.created.v1"


def mail_events(*, every_message: bool) -> tuple[str, ...]:
    """What the mail is told of. One is enough; either is handled, and both of the same message do no harm."""
    return (WRITTEN, EVERY_MESSAGE) if every_message else (WRITTEN,)


def remind_of_messages(delay: timedelta) -> Handler:
    """What a person wrote is mailed about after `delay`, to whoever has not read it then."""

    async def handle(conn: Executor, events: Sequence[CloudEvent]) -> None:
        heard = [heard_of(event.data, delay) for event in events]
        await record_reminders(conn, [message for message in heard if message is not None])

    return handle


def heard_of(facts: Mapping[str, Any], delay: timedelta) -> HeardOf | None:
    """What `ConversationWritten` or `MessageCreated` says of a message of a person, None of another's.

    MalformedEvent when it is something else.

    Reads the JSON of the contract as it is: `CloudEvent.read` takes ten times as long.
    """
    try:
        if facts["kind"] != "text":
            return None
        sender_id = facts["senderId"]
        if not (isinstance(sender_id, str) and sender_id):
            raise ValueError
        return HeardOf(
            UUID(facts["conversationId"]),
            int(facts["seq"]),
            sender_id,
            datetime.fromisoformat(facts["createdAt"]) + delay,
            datetime.fromisoformat(facts["coveredUntil"]) if "coveredUntil" in facts else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise MalformedEvent("neither ConversationWritten nor MessageCreated") from None


async def ignore_messages(_conn: Executor, _events: Sequence[CloudEvent]) -> None:
    """While no mail is sent nothing may wait for it, neither in the queue nor in the table."""
