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
    if pushable:
        async with deps.pool.acquire() as conn, conn.transaction():
            await store.lock_conversations(conn, pushable)
            gates = await owed_gates(conn, pushable)
        await push_each(deps, gates)
    unopened = [conversation_id for conversation_id, may_push in claimed if not may_push]
    if unopened:
        await resolve_unopened(deps, unopened)
    return len(claimed)


async def push_each(deps: Deps, gates: Sequence[Gate]) -> None:
    """Pushes gates together; when message_svc refuses, one by one, so that one bad gate stalls no other.

    Raises:
        ChatError: UNAVAILABLE when message_svc is away.
    """
    try:
        await apply_gates(deps, gates)
    except ChatError as error:
        if error.reason is Reason.UNAVAILABLE:
            raise
        if len(gates) == 1:
            conversation_id = str(gates[0].conversation_id)
            log.error("gate_refused", conversation=conversation_id, reason=error.reason.value)
            return
        for gate in gates:
            await push_each(deps, [gate])
