"""Moves a read pointer forward."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from message_svc import events, store
from message_svc.domain import clamp_read
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

    Under the gate's lock, like everything that writes others' rows: the receipt is a change for those who get
    it, so that their watch lists have it though Redis may lose the event.

    Raises:
        ChatError: NOT_FOUND when the person is not in the conversation.
    """
    owed = []
    async with pool.acquire() as conn:
        async with conn.transaction():
            gate = (await store.lock_gates(conn, [conversation_id])).get(conversation_id)
            now = clock.now()
            last_seq = gate.last_seq if gate is not None else 0
            found = await store.find_reader(conn, user_id, conversation_id, min(wanted, last_seq))
            if gate is None or found is None:
                raise ChatError(Reason.NOT_FOUND, "Conversation not found.")
            member, unread = found
            target = clamp_read(member.last_read_seq, wanted, last_seq)
            if target > member.last_read_seq:
                shared = target if member.shares_receipts else member.shared_read_seq
                shares = member.shares_receipts and not member.receipts_hidden
                told = {*gate.snapshot.who_see_receipts} - {user_id} if shares else set()
                await store.move_read_pointer(
                    conn,
                    member,
                    last_read_seq=target,
                    shared_read_seq=shared,
                    unread=unread,
                    at=now,
                    told=sorted(told),
                )
                owed = [
                    events.read_receipt(conversation_id, user_id, target, sorted({user_id, *told}), now),
                    events.own_view_changed(conversation_id, user_id, now),
                ]
                await outbox.add(conn, realtime=owed)
            totals = await store.count_totals(conn, user_id)
        outbox.publish_soon(realtime=owed)
    return ReadMark(target, unread, totals)
