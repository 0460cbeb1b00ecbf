"""Forgets revocations that no token can have any more, and bans that are lifted or over."""

from __future__ import annotations

import structlog

from presence_svc import store
from presence_svc.actions.deps import Deps

_BATCH = 1000
_log = structlog.get_logger(__name__)


async def forget_access_changes(deps: Deps) -> int:
    """Forgets what was said longer ago than it is kept; a ban not before it is lifted, or over for as long.

    Returns how many. In batches, so that no statement holds many rows.
    """
    before = deps.clock.now() - deps.access_keep
    forgotten, last = 0, _BATCH
    while last == _BATCH:
        last = await store.forget_access_changes(deps.pool, before, _BATCH)
        forgotten += last
    if forgotten:
        _log.info("access_forgotten", changes=forgotten)
    return forgotten
