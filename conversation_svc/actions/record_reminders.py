"""Takes note of a message, so that whoever leaves it unread gets a mail."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from conversation_svc.store import reminders
from servicekit.db import Executor


async def record_reminders(
    conn: Executor, conversation_id: UUID, seq: int, sender_id: str, due_at: datetime
) -> None:
    """In the transaction that marks the event; of a conversation that is gone nothing is noted."""
    await reminders.record_reminders(conn, conversation_id, seq, sender_id, due_at)
