"""Records that somebody is not let in any more, or is again, and tells every edge at once."""

from __future__ import annotations

import structlog

from presence_svc import store
from presence_svc.actions.deps import Deps
from presence_svc.domain import AccessChange, is_news
from servicekit.control import Kind

_log = structlog.get_logger(__name__)


async def record_access_change(deps: Deps, user_id: str, said: AccessChange) -> None:
    """Returns once it is committed and edges are told. Repeatable: what holds already gets no new version,
    and is kept as long as if it were said for the first time.

    Edges are told all the same: the call before may have died between its commit and telling them.
    """
    async with deps.pool.acquire() as conn, conn.transaction():
        await store.lock_access(conn)
        version: int | None = None
        held = await store.get_access_change(conn, user_id, said)
        if is_news(held, said):
            version = await store.put_access_change(conn, user_id, said, deps.clock.now())
        elif held is not None:
            await store.renew_access_change(conn, user_id, said, deps.clock.now())
    if version is not None:
        _log.info("access_changed", user=user_id, change=type(said).__name__, version=version)
    await deps.control.tell(Kind.ACCESS, [user_id])
