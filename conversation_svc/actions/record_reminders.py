"""Takes note of messages, so that whoever leaves one unread gets a mail."""

from __future__ import annotations

from collections.abc import Sequence

from conversation_svc.domain.mail import HeardOf
from conversation_svc.store import reminders
from servicekit.db import Executor


async def record_reminders(conn: Executor, messages: Sequence[HeardOf]) -> None:
    """In the transaction that marks the events; of a conversation that is gone nothing is noted."""
    if messages:
        await reminders.record_reminders(conn, messages)
