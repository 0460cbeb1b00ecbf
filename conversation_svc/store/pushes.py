"""What is owed to message_svc, and the events that wait for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

import asyncpg

from conversation_svc.domain import Held
from servicekit.db import Executor, Queries

q = Queries.load(Path(__file__).with_name("pushes.sql"))


async def confirm_pushes(conn: Executor, held: Sequence[Held]) -> set[UUID]:
    """Records what is held; returns those where that is not ours. Under the conversations' locks."""
    rows = await q.confirm_pushes.fetch(
        conn,
        [each.conversation_id for each in held],
        [each.version for each in held],
        [each.differs for each in held],
        [each.opened for each in held],
        [each.refused for each in held],
    )
    return {row["id"] for row in rows if row["foreign_gate"]}


async def raise_gates(conn: Executor, held: Sequence[Held], push_due_at: datetime) -> None:
    """Takes versions above those held, which are not ours. Under the conversations' locks."""
    await q.raise_gates.execute(
        conn, [each.conversation_id for each in held], [each.version for each in held], push_due_at
    )


async def lower_pushed(conn: Executor, held: Sequence[Held], push_due_at: datetime) -> None:
    """Makes pushes owed again that message_svc no longer holds. Under the conversations' locks."""
    await q.lower_pushed.execute(
        conn, [each.conversation_id for each in held], [each.version for each in held], push_due_at
    )


async def claim_owed_pushes(conn: Executor, now: datetime, limit: int) -> list[tuple[UUID, bool]]:
    """(id, whether it may go without a message) of owed pushes; puts their next try off."""
    rows = await q.claim_owed_pushes.fetch(conn, now, limit)
    return [(row["id"], row["pushable"]) for row in rows]


async def set_gates_applied(conn: Executor, ids: Sequence[UUID]) -> None:
    """Notes of unopened ones that message_svc holds a gate without a message."""
    await q.set_gates_applied.execute(conn, ids)


async def delete_unopened(conn: Executor, ids: Sequence[UUID], tried_before: datetime) -> None:
    """Deletes those whose first message never arrived and was not tried since `tried_before`."""
    await q.delete_unopened.execute(conn, ids, tried_before)


async def list_unopened(conn: Executor, after: UUID, tried_before: datetime, limit: int) -> list[UUID]:
    """Those not open whose first message was last on its way before then, in the order of ids."""
    return [row["id"] for row in await q.list_unopened.fetch(conn, after, tried_before, limit)]


async def list_gate_versions(conn: Executor, after: UUID, limit: int) -> list[tuple[UUID, int]]:
    """Open conversations and their gates' versions, in the order of ids."""
    return [(row["id"], row["gate_version"]) for row in await q.list_gate_versions.fetch(conn, after, limit)]


async def add_owed_events(
    conn: Executor, rows: Sequence[dict[str, object]], waits: Sequence[tuple[UUID, UUID, int]]
) -> None:
    """Keeps events (`events.owed_rows`) until their waits - (event, conversation, version) - have ended."""
    await q.add_owed_events.execute(conn, rows)
    await q.add_owed_waits.execute(
        conn, [wait[0] for wait in waits], [wait[1] for wait in waits], [wait[2] for wait in waits]
    )


async def take_ripe_events(conn: Executor, conversation_ids: Sequence[UUID]) -> list[asyncpg.Record]:
    """Removes and returns the owed events that these conversations were the last to hold up, in order."""
    waiting = [row["event_id"] for row in await q.lock_owed_events.fetch(conn, conversation_ids)]
    if not waiting:
        return []
    await q.end_waits.execute(conn, waiting)
    return await q.take_ripe_events.fetch(conn, waiting)
