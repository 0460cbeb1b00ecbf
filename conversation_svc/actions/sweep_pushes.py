"""Completes pushes that the call which owed them did not: it crashed, or message_svc was away."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from conversation_svc import store
from conversation_svc.actions.deps import Deps
from conversation_svc.actions.push_gates import apply_gates, owed_gates
from conversation_svc.actions.resolve_unopened import resolve_unopened
from conversation_svc.domain import Gate
from servicekit.errors import ChatError, Reason

log = structlog.get_logger(__name__)

BATCH = 500


async def sweep_pushes(deps: Deps) -> int:
    """Works on a batch of owed pushes that are due; returns how many it took.

    Each was put off before it is tried, so one that fails comes again later and holds up no other.

    Raises:
        ChatError: UNAVAILABLE when message_svc is away.
    """
    claimed = await store.claim_owed_pushes(deps.pool, deps.clock.now(), BATCH)
    pushable = [conversation_id for conversation_id, may_push in claimed if may_push]
    unopened = [conversation_id for conversation_id, may_push in claimed if not may_push]
    if unopened:
        pushable += await resolve_unopened(deps, unopened)
    if pushable:
        async with deps.pool.acquire() as conn, conn.transaction():
            await store.lock_conversations(conn, pushable)
            gates = await owed_gates(conn, pushable)
        if gates:
            await push_each(deps, gates)
    return len(claimed)


async def push_each(deps: Deps, gates: Sequence[Gate]) -> int:
    """Pushes gates together and, when that fails, one by one, so that a bad one stalls no other.

    Returns how many message_svc holds; the others stay owed.

    Raises:
        ChatError: UNAVAILABLE when message_svc is away.
    """
    try:
        await apply_gates(deps, gates)
    except ChatError as error:
        ids = [gate.conversation_id for gate in gates]
        if error.reason is Reason.UNAVAILABLE:
            await deps.messages.get_gate_versions(ids)  # raises when it is away, not busy with one of them
        if len(gates) > 1:
            return sum([await push_each(deps, [gate]) for gate in gates])
        log.error("gate_not_pushed", conversation=str(ids[0]), reason=error.reason.value)
        return 0
    return len(gates)
