"""People whom somebody has blocked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from conversation_svc import store
from conversation_svc.actions.deps import Deps
from conversation_svc.domain import Profile


@dataclass(frozen=True, slots=True)
class BlockPage:
    """Blocks, newest first, and the position that the next page starts after; None on the last one."""

    blocks: list[tuple[Profile, datetime]]
    next: tuple[datetime, str] | None


async def list_blocks(deps: Deps, user_id: str, after: tuple[datetime, str] | None, limit: int) -> BlockPage:
    """A page of at most `limit`, after the position (time, whom) of an earlier page."""
    found = await store.list_blocks(deps.pool, user_id, after, limit + 1)
    if len(found) <= limit:
        return BlockPage(found, None)
    person, blocked_at = found[limit - 1]
    return BlockPage(found[:limit], (blocked_at, person.user_id))
