"""Gates and their members: the locks, and what a push writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from message_svc.domain import (
    GateSnapshot,
    HeldGate,
    MemberRow,
)
from message_svc.store.rows import held_gate, member_row, q
from servicekit.db import Executor


async def lock_gates(conn: Executor, ids: Iterable[UUID]) -> dict[UUID, HeldGate]:
    """Locks the gates that exist, in the order of their ids. Before anything else is read."""
    rows = await q.lock_gates.fetch(conn, sorted(set(ids)))
    # Version 0 is another transaction's placeholder only while that transaction runs: it is never seen here.
    return {row["id"]: held_gate(row) for row in rows}


async def lock_gates_for_push(conn: Executor, ids: Iterable[UUID]) -> dict[UUID, HeldGate | None]:
    """Locks the gates, making a row for each that is missing; None for those."""
    wanted = sorted(set(ids))
    await q.insert_missing_gates.execute(conn, wanted)
    rows = await q.lock_gates.fetch(conn, wanted)
    return {row["id"]: held_gate(row) if row["gate_version"] else None for row in rows}


async def raise_gates(conn: Executor, gates: Sequence[GateSnapshot]) -> None:
    """Stores newer snapshots over the locked gates."""
    await q.raise_gates.execute(
        conn,
        [gate.conversation_id for gate in gates],
        [gate.gate_version for gate in gates],
        [gate.raw for gate in gates],
    )


async def get_gate_versions(conn: Executor, ids: Sequence[UUID]) -> dict[UUID, tuple[int, int]]:
    """(held version, last number); conversations without a gate are left out."""
    rows = await q.get_gate_versions.fetch(conn, ids)
    return {row["id"]: (row["gate_version"], row["last_seq"]) for row in rows}


async def lock_members(conn: Executor, keys: Sequence[tuple[str, UUID]]) -> dict[tuple[str, UUID], MemberRow]:
    """Locks the member rows that exist. Only under their gates' locks."""
    rows = await q.lock_members.fetch(conn, [key[0] for key in keys], [key[1] for key in keys])
    return {(row["user_id"], row["conversation_id"]): member_row(row) for row in rows}


async def put_members(conn: Executor, rows: Sequence[MemberRow]) -> None:
    """Writes member rows whole."""
    await q.put_members.execute(
        conn,
        [row.user_id for row in rows],
        [row.conversation_id for row in rows],
        [row.folder.value for row in rows],
        [row.state.value for row in rows],
        [row.version for row in rows],
        [row.shares_receipts for row in rows],
        [row.last_read_seq for row in rows],
        [row.shared_read_seq for row in rows],
        [row.unread for row in rows],
        [row.left_at for row in rows],
        [row.activity_at for row in rows],
        [row.changed_at for row in rows],
        [row.receipts_hidden for row in rows],
        [row.muted for row in rows],
        [row.archived for row in rows],
    )
