"""Compares what message_svc holds with what it should, so that a restore of either schema heals."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

import structlog

from conversation_svc import store
from conversation_svc.actions.deps import Deps
from conversation_svc.actions.push_gates import owed_gates
from conversation_svc.actions.sweep_pushes import push_each
from conversation_svc.domain import Held
from conversation_svc.messages import MOST_VERSIONS

log = structlog.get_logger(__name__)


async def reconcile_gates(deps: Deps, stop: asyncio.Event) -> int:
    """Walks all open conversations once, or until the stop; returns how many gates it got pushed.

    Raises:
        ChatError: UNAVAILABLE when message_svc is away; the next walk starts over.
    """
    pushed = 0
    last = UUID(int=0)
    while not stop.is_set() and (chunk := await store.list_gate_versions(deps.pool, last, MOST_VERSIONS)):
        last = chunk[-1][0]
        versions = dict(chunk)
        held = await deps.messages.get_gate_versions([conversation_id for conversation_id, _ in chunk])
        different = [each for each in held if each.version != versions[each.conversation_id]]
        if different:
            pushed += await _push_again(deps, different)
    return pushed


async def _push_again(deps: Deps, different: Sequence[Held]) -> int:
    ids = [each.conversation_id for each in different]
    now = deps.clock.now()
    async with deps.pool.acquire() as conn, conn.transaction():
        await store.lock_conversations(conn, ids)
        # Compared anew under the locks: a change may have come between. A version that is held comes from a
        # committed change, so one above ours is from a time that this schema has forgotten.
        current = {each.conversation.id: each.conversation for each in await store.get_situations(conn, ids)}
        lower = [each for each in different if each.version < current[each.conversation_id].gate_version]
        higher = [each for each in different if each.version > current[each.conversation_id].gate_version]
        await store.lower_pushed(conn, lower, deps.push_due_at(now))
        await store.raise_gates(conn, higher, deps.push_due_at(now))
        gates = await owed_gates(conn, ids)
    log.info("gates_reconciled", lower=len(lower), higher=len(higher))
    return await push_each(deps, gates) if gates else 0
