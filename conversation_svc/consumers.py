"""Events of others -> actions."""

from __future__ import annotations

from datetime import UTC, timedelta
from uuid import UUID

from splits.chat.events.v1 import events_pb2

from conversation_svc.actions.record_reminders import record_reminders
from servicekit.consumer import CloudEvent, Handler
from servicekit.db import Executor

MAIL_EVENTS = ("message.created.v1",)


def remind_of_message(delay: timedelta) -> Handler:
    """Each message of a person is mailed about after `delay`, to whoever has not read it then."""

    async def handle(conn: Executor, event: CloudEvent) -> None:
        created = event.read(events_pb2.MessageCreated)
        if created.kind != "text":
            return
        due_at = created.created_at.ToDatetime(UTC) + delay
        await record_reminders(conn, UUID(created.conversation_id), created.seq, created.sender_id, due_at)

    return handle


async def ignore_message(_conn: Executor, _event: CloudEvent) -> None:
    """While no mail is sent nothing may wait for it, neither in the queue nor in the table."""
