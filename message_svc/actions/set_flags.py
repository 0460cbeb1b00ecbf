"""Mutes or archives a conversation for one person."""

from __future__ import annotations

from uuid import UUID

import asyncpg

from message_svc import events, store
from message_svc.store import Totals, View
from servicekit.clock import Clock
from servicekit.errors import ChatError, Reason
from servicekit.outbox import Outbox


async def set_flags(
    pool: asyncpg.Pool,
    outbox: Outbox,
    clock: Clock,
    *,
    user_id: str,
    conversation_id: UUID,
    muted: bool | None,
    archived: bool | None,
) -> tuple[View, Totals]:
    """Sets what is not None; the person's view and totals as they then stand.

    Raises:
        ChatError: NOT_FOUND when the person is not in the conversation.
    """
    now = clock.now()
    owed = []
    async with pool.acquire() as conn:
        async with conn.transaction():
            member = await store.lock_member(conn, user_id, conversation_id)
            if member is None:
                raise ChatError(Reason.NOT_FOUND, "Conversation not found.")
            wanted = (
                member.muted if muted is None else muted,
                member.archived if archived is None else archived,
            )
            if wanted != (member.muted, member.archived):
                await store.set_flags(conn, member, muted=wanted[0], archived=wanted[1], at=now)
                owed = [events.own_view_changed(conversation_id, user_id, now)]
                await outbox.add(conn, realtime=owed)
            views = await store.get_member_views(conn, user_id, [conversation_id])
            totals = await store.count_totals(conn, user_id)
        outbox.publish_soon(realtime=owed)
    return views[0], totals
