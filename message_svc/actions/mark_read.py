"""Moves a read pointer forward."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from message_svc import events, store
from message_svc.domain import MAX_SEQ, clamp_read
from message_svc.store import Totals
from servicekit.clock import Clock
from servicekit.errors import ChatError, Reason
from servicekit.outbox import Outbox


@dataclass(frozen=True, slots=True)
class ReadMark:
    """Where the pointer stands, and the counts that follow."""

    last_read_seq: int
    unread: int
    totals: Totals


async def mark_read(
    pool: asyncpg.Pool, outbox: Outbox, clock: Clock, user_id: str, conversation_id: UUID, wanted: int
) -> ReadMark:
    """Moves the pointer to `wanted`, never back and never past the last message.

    The member row is locked first and counted in the next statement (see `count_unread`).

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
            after = min(max(member.last_read_seq, wanted), MAX_SEQ)
            last_seq, gate, unread = await store.count_unread(conn, user_id, conversation_id, after)
            target = clamp_read(member.last_read_seq, wanted, last_seq)
            if target > member.last_read_seq:
                shared = target if member.shares_receipts else member.shared_read_seq
                await store.move_read_pointer(
                    conn, member, last_read_seq=target, shared_read_seq=shared, unread=unread, at=now
                )
                shares = member.shares_receipts and not member.receipts_hidden
                told = {user_id, *gate.who_see_receipts} if shares else {user_id}
                owed = [
                    events.read_receipt(conversation_id, user_id, target, sorted(told), now),
                    events.own_view_changed(conversation_id, user_id, now),
                ]
                await outbox.add(conn, realtime=owed)
            totals = await store.count_totals(conn, user_id)
        outbox.publish_soon(realtime=owed)
    return ReadMark(target, unread, totals)
