"""Events of others -> actions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, timedelta
from uuid import UUID

from splits.chat.events.v1 import events_pb2

from conversation_svc.actions.record_reminders import record_reminders
from conversation_svc.domain.mail import HeardOf
from servicekit.consumer import CloudEvent, Handler
from servicekit.db import Executor

MAIL_EVENTS = ("message.created.v1",)


def remind_of_messages(delay: timedelta) -> Handler:
    """Each message of a person is mailed about after `delay`, to whoever has not read it then."""

    async def handle(conn: Executor, events: Sequence[CloudEvent]) -> None:
        messages = [event.read(events_pb2.MessageCreated) for event in events]
        await record_reminders(
            conn,
            [
                HeardOf(
                    UUID(message.conversation_id),
                    message.seq,
                    message.sender_id,
                    message.created_at.ToDatetime(UTC) + delay,
                )
                for message in messages
                if message.kind == "text"
            ],
        )

    return handle


async def ignore_messages(_conn: Executor, _events: Sequence[CloudEvent]) -> None:
    """While no mail is sent nothing may wait for it, neither in the queue nor in the table."""
