"""A person's own rows: read marks, flags, lists and totals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from message_svc.codec import gate_from_bytes
from message_svc.domain import (
    Folder,
    MemberRow,
    StoredMessage,
)
from message_svc.store.rows import member_row, q, stored_message
from servicekit.db import Executor


@dataclass(frozen=True, slots=True)
class View:
    """A member's row with what its page shows beside it."""

    member: MemberRow
    last_seq: int
    last_change: int
    last_message: StoredMessage
    read_pointers: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Totals:
    """Unread totals of one person."""

    messages: int
    conversations: int
    requests: int


@dataclass(frozen=True, slots=True)
class Watched:
    """A conversation's numbers for one member."""

    member: MemberRow
    last_seq: int
    last_change: int


async def lock_member(conn: Executor, user_id: str, conversation_id: UUID) -> MemberRow | None:
    """Locks a visible member row; None when the person is not in the conversation."""
    row = await q.lock_member.fetchrow(conn, user_id, conversation_id)
    return None if row is None else member_row(row)


async def find_reader(
    conn: Executor, user_id: str, conversation_id: UUID, after_seq: int
) -> tuple[MemberRow, int] | None:
    """A visible member row, and how many texts of others are unread after `after_seq` or its pointer.

    Under the gate's lock, in a later statement. None when the person is not in the conversation.
    """
    row = await q.find_reader.fetchrow(conn, user_id, conversation_id, after_seq)
    return None if row is None else (member_row(row), row["unread_after"])


async def move_read_pointer(
    conn: Executor,
    member: MemberRow,
    *,
    last_read_seq: int,
    shared_read_seq: int | None,
    unread: int,
    at: datetime,
    told: Sequence[str],
) -> None:
    """Writes a read mark. Under the gate's lock; `told` are the others who get the receipt."""
    await q.move_read_pointer.execute(
        conn, member.user_id, member.conversation_id, last_read_seq, shared_read_seq, unread, at, told
    )


async def set_flags(conn: Executor, member: MemberRow, *, muted: bool, archived: bool, at: datetime) -> None:
    """Writes a member's flags over the locked row."""
    await q.set_flags.execute(conn, member.user_id, member.conversation_id, muted, archived, at)


async def count_totals(conn: Executor, user_id: str) -> Totals:
    """Unread totals over the person's conversations."""
    row = await q.count_totals.fetchrow(conn, user_id)
    return Totals(0, 0, 0) if row is None else _totals(row)


async def count_totals_together(conn: Executor, user_ids: Sequence[str]) -> list[Totals]:
    """Unread totals of several people, in their order."""
    return [_totals(row) for row in await q.count_totals_together.fetch(conn, user_ids)]


def _totals(row: asyncpg.Record) -> Totals:
    return Totals(row["messages"], row["conversations"], row["requests"])


async def list_inbox(
    conn: Executor, user_id: str, folder: Folder, before: tuple[datetime, UUID], limit: int
) -> list[View]:
    """A page of a folder, newest activity first."""
    return await _views(conn, user_id, await q.list_inbox.fetch(conn, user_id, folder.value, *before, limit))


async def list_archived(
    conn: Executor, user_id: str, before: tuple[datetime, UUID], limit: int
) -> list[View]:
    """A page of the archived, newest activity first."""
    return await _views(conn, user_id, await q.list_archived.fetch(conn, user_id, *before, limit))


async def get_member_views(conn: Executor, user_id: str, ids: Sequence[UUID]) -> list[View]:
    """The person's views of conversations they are in, in no particular order."""
    return await _views(conn, user_id, await q.get_member_views.fetch(conn, user_id, ids))


async def _views(conn: Executor, user_id: str, rows: Sequence[asyncpg.Record]) -> list[View]:
    gates = {row["conversation_id"]: gate_from_bytes(row["gate_snapshot"]) for row in rows}
    others = [
        (other, conversation_id)
        for conversation_id, gate in gates.items()
        if not gate.rights[user_id].receipts_hidden  # who hides does not see
        for other in gate.present
        if other != user_id
    ]
    pointers: dict[UUID, list[tuple[str, int]]] = {}
    if others:
        found = await q.get_read_pointers.fetch(conn, [o[0] for o in others], [o[1] for o in others])
        for row in found:
            pointer = (row["user_id"], row["shared_read_seq"])
            pointers.setdefault(row["conversation_id"], []).append(pointer)
    return [
        View(
            member=member_row(row),
            last_seq=row["gate_last_seq"],
            last_change=row["gate_last_change"],
            last_message=stored_message(row).shown_to(gates[row["conversation_id"]].rights[user_id]),
            read_pointers=tuple(sorted(pointers.get(row["conversation_id"], ()))),
        )
        for row in rows
    ]


async def get_watch_list(
    conn: Executor, user_id: str, before: tuple[datetime, UUID], limit: int, after: datetime
) -> list[Watched]:
    """Conversations changed after a moment, latest change first; also those the person was removed from."""
    rows = await q.get_watch_list.fetch(conn, user_id, *before, limit, after)
    return [_watched(row) for row in rows]


async def get_watch_lists(
    conn: Executor, people: Sequence[tuple[str, datetime]], limit: int
) -> list[list[Watched]]:
    """What changed last for each of several people after a moment of theirs, as `get_watch_list` has it."""
    found: list[list[Watched]] = [[] for _ in people]
    users, moments = [user_id for user_id, _ in people], [after for _, after in people]
    for row in await q.get_watch_lists.fetch(conn, users, moments, limit):
        found[row["place"] - 1].append(_watched(row))
    return found


def _watched(row: asyncpg.Record) -> Watched:
    return Watched(member_row(row), row["gate_last_seq"], row["gate_last_change"])
