"""Finds out what became of conversations whose opening was never confirmed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import structlog

from conversation_svc import store
from conversation_svc.actions.deps import Deps
from conversation_svc.actions.push_gates import confirm_pushes
from conversation_svc.messages import MOST_VERSIONS

log = structlog.get_logger(__name__)


async def resolve_unopened(deps: Deps, ids: Sequence[UUID]) -> list[UUID]:
    """Asks message_svc whether it holds their first messages: it alone knows. Returns those that it does.

    Their pushes stay owed: a version alone does not say that the gate held is ours. Where it holds a gate
    without a message, pushing that gate alone is as good: the sweeper does so from now on. Where it holds no
    gate at all and nobody has tried for `unopened_ttl`, nobody will: the conversation goes.

    Raises:
        ChatError: UNAVAILABLE when message_svc is away.
    """
    found: list[UUID] = []
    forgotten_before = deps.clock.now() - deps.unopened_ttl
    for start in range(0, len(ids), MOST_VERSIONS):
        held = await deps.messages.get_gate_versions(ids[start : start + MOST_VERSIONS])
        opened = [replace(each, version=0) for each in held if each.opened]
        if opened:
            log.info("openings_found", conversations=len(opened))
            await confirm_pushes(deps, opened)
            found += [each.conversation_id for each in opened]
        silent = [each.conversation_id for each in held if each.version and not each.opened]
        await store.set_gates_applied(deps.pool, silent)
        missing = [each.conversation_id for each in held if not each.version]
        await store.delete_unopened(deps.pool, missing, forgotten_before)
    return found
