"""Pushes gates again that nothing says are owed: after a restore, or when rights are computed otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from conversation_svc import store
from conversation_svc.actions.deps import Deps
from conversation_svc.actions.push_gates import owed_gates
from conversation_svc.actions.sweep_pushes import push_each
from conversation_svc.domain import Held


@dataclass(frozen=True, slots=True)
class Repushed:
    """A page: how many gates message_svc holds as computed, how many it did not take, and the last."""

    pushed: int
    owed: int
    last: UUID | None
    """None when no conversation comes after this page."""


async def repush_gates(deps: Deps, after: UUID | None, limit: int) -> Repushed:
    """Pushes the gates of at most `limit` open conversations after that one, in the order of ids.

    All become owed first: what fails here is the sweeper's.

    Raises:
        ChatError: UNAVAILABLE when message_svc is away.
    """
    page = await store.list_gate_versions(deps.pool, after or UUID(int=0), limit)
    ids = [conversation_id for conversation_id, _ in page]
    if not ids:
        return Repushed(0, 0, None)
    due_at = deps.push_due_at(deps.clock.now())
    async with deps.pool.acquire() as conn, conn.transaction():
        await store.lock_conversations(conn, ids)
        await store.lower_pushed(conn, [Held(each, version=0) for each in ids], due_at)
        gates = await owed_gates(conn, ids)
    pushed = await push_each(deps, gates)
    return Repushed(pushed, len(gates) - pushed, ids[-1] if len(ids) == limit else None)
