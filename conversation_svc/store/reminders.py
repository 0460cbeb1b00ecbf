"""Mail addresses, and the reminders of unread messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg

from conversation_svc.domain import Role
from conversation_svc.domain.mail import HeardOf, Reminder, mail_address
from servicekit.db import Executor, Queries

q = Queries.load(Path(__file__).with_name("reminders.sql"))


async def put_mail_addresses(conn: Executor, addresses: Mapping[str, str], now: datetime) -> None:
    """Records addresses by person."""
    await q.put_mail_address.execute(conn, list(addresses), list(addresses.values()), now)


async def record_reminders(conn: Executor, messages: Sequence[HeardOf]) -> None:
    """Everybody in each conversation but the sender is looked after at `due_at`, if not before."""
    await q.record_reminders.execute(
        conn,
        [message.conversation_id for message in messages],
        [message.seq for message in messages],
        [message.sender_id for message in messages],
        [message.due_at for message in messages],
        [message.covered_until for message in messages],
    )


async def claim_reminders(conn: Executor, now: datetime, lease: datetime, limit: int) -> list[Reminder]:
    """At most `limit` that are due; nobody else claims them before `lease`."""
    return [_reminder(row) for row in await q.claim_reminders.fetch(conn, now, lease, limit)]


async def begin_sending(conn: Executor, reminder: Reminder) -> bool:
    """Counts a try before it is made; False when the lease is over and another may be at it."""
    key = (reminder.conversation_id, reminder.user_id, reminder.lease)
    return await q.begin_sending.fetchval(conn, *key) is True


async def finish_reminder(
    conn: Executor,
    reminder: Reminder,
    *,
    mailed_seq: int,
    seen_seq: int,
    looked_at: datetime,
    next_due: datetime,
    delay: timedelta,
) -> None:
    """Nothing more to remind of, except of messages after `seen_seq`.

    Those that have come meanwhile are looked after at `next_due`; those that may have come unheard since
    `looked_at`, once all of them are as old as `delay`.
    """
    key = (reminder.conversation_id, reminder.user_id, reminder.lease)
    await q.finish_reminder.execute(conn, *key, mailed_seq, seen_seq, next_due, looked_at, delay)


async def postpone_reminder(conn: Executor, reminder: Reminder, due_at: datetime, *, tries: int) -> None:
    """Looks again at `due_at`."""
    key = (reminder.conversation_id, reminder.user_id, reminder.lease)
    await q.postpone_reminder.execute(conn, *key, due_at, tries)


async def restart_reminder(conn: Executor, reminder: Reminder, due_at: datetime, *, first_seq: int) -> None:
    """The wait begins anew, with that message; it ends at `due_at`."""
    key = (reminder.conversation_id, reminder.user_id, reminder.lease)
    await q.restart_reminder.execute(conn, *key, due_at, first_seq)


async def clear_reminders(conn: Executor) -> None:
    """Nobody is reminded of anything up to now."""
    await q.clear_reminders.execute(conn)


def _reminder(row: asyncpg.Record) -> Reminder:
    return Reminder(
        conversation_id=row["conversation_id"],
        user_id=row["user_id"],
        mail_id=row["mail_id"],
        first_seq=row["first_seq"],
        last_seq=row["last_seq"],
        tries=row["tries"],
        mailed_seq=row["mailed_seq"],
        lease=row["lease"],
        email=mail_address(row["email"]),  # again: an earlier release may have let another through
        role=Role(row["role"]) if row["role"] else None,
        sender_name=row["sender_name"] or "",
        sender_blocked=row["sender_blocked"],
    )
