"""Finds first messages whose arrival was never confirmed and of which nothing says that they are owed."""

from __future__ import annotations

import asyncio
from uuid import UUID

from conversation_svc import store
from conversation_svc.actions.deps import Deps
from conversation_svc.actions.resolve_unopened import resolve_unopened
from conversation_svc.messages import MOST_VERSIONS


async def reconcile_openings(deps: Deps, stop: asyncio.Event) -> int:
    """Walks all unopened conversations once, or until the stop; returns how many message_svc has opened.

    The sweeper asks only while a push is owed. A block may have pushed the gate before the first message was
    stored, or this schema may be restored to a time before the opening: then the walk alone finds it. A start
    whose call may still be under way is left to that call.

    Raises:
        ChatError: UNAVAILABLE when message_svc is away; the next walk starts over.
    """
    opened = 0
    last = UUID(int=0)
    tried_before = deps.clock.now() - deps.push_owed_after
    while not stop.is_set() and (
        ids := await store.list_unopened(deps.pool, last, tried_before, MOST_VERSIONS)
    ):
        last = ids[-1]
        opened += len(await resolve_unopened(deps, ids))
    return opened
