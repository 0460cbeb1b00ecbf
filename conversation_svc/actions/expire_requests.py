"""Ends requests whose time is over."""

from __future__ import annotations

import structlog

from conversation_svc import events, store
from conversation_svc.actions.deps import Deps
from conversation_svc.actions.push_gates import owed_gates, save_change
from conversation_svc.actions.sweep_pushes import BATCH, push_each
from conversation_svc.domain import Situation, advance, expire

log = structlog.get_logger(__name__)


async def expire_requests(deps: Deps) -> int:
    """Ends a batch of requests, the longest overdue first; returns how many.

    Waiting and declined ones alike, in one order: the initiator cannot tell them apart by when or how they
    learn of it. Who declined keeps what they have.

    Raises:
        ChatError: UNAVAILABLE when message_svc is away; the sweeper completes the pushes.
    """
    now = deps.clock.now()
    async with deps.pool.acquire() as conn, conn.transaction():
        ids = await store.lock_expiring(conn, now, BATCH)
        ended: list[Situation] = []
        owed: list[events.Owed] = []
        for before in await store.get_situations(conn, ids):
            after = advance(
                before,
                before.with_state(expire(before.conversation, now)),
                now,
            )
            ended.append(after)
            owed += events.expired(before, after, now)
        await save_change(deps, conn, ended, owed, now)
        gates = await owed_gates(conn, ids)
    if gates:
        log.info("requests_expired", conversations=len(ended))
        await push_each(deps, gates)
    return len(ids)
