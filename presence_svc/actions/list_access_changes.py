"""What changed of who is let in, page by page."""

from __future__ import annotations

import asyncpg

from presence_svc import store

PAGE = 1000
_HIGHEST = 2**63 - 1


async def list_access_changes(pool: asyncpg.Pool, after: int) -> store.AccessPage:
    """The next changes after that version, at most PAGE."""
    return await store.list_access_changes(pool, min(after, _HIGHEST), PAGE)
