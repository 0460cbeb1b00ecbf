"""Reads a page of a conversation's messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import asyncpg

from message_svc import store
from message_svc.domain import MAX_SEQ, StoredMessage
from servicekit.errors import ChatError, Reason


@dataclass(frozen=True, slots=True)
class Position:
    """Where in the conversation to stand: before, after or around message number `seq`."""

    where: Literal["before", "after", "around"]
    seq: int


NEWEST = Position("before", MAX_SEQ)


@dataclass(frozen=True, slots=True)
class Page:
    """Messages in ascending order, and whether there are more on either side."""

    messages: Sequence[StoredMessage]
    has_older: bool
    has_newer: bool


async def list_messages(
    pool: asyncpg.Pool, user_id: str, conversation_id: UUID, position: Position, limit: int
) -> Page:
    """A page of at most `limit` messages.

    Raises:
        ChatError: NOT_FOUND when the person is not in the conversation.
    """
    seq = min(position.seq, MAX_SEQ)
    async with pool.acquire() as conn:
        gate = await store.read_gate(conn, user_id, conversation_id)
        if gate is None:
            raise ChatError(Reason.NOT_FOUND, "Conversation not found.")
        last_seq, rights = gate.last_seq, gate.snapshot.rights.get(user_id)
        messages: list[StoredMessage] = []
        if position.where == "before":
            messages = await store.list_before(conn, conversation_id, seq, limit)
        elif position.where == "after":
            messages = await store.list_after(conn, conversation_id, seq, limit)
        else:
            # Half before, the rest from the message itself on; what one side lacks the other fills.
            messages = await store.list_before(conn, conversation_id, seq, limit // 2)
            messages += await store.list_after(conn, conversation_id, seq - 1, limit - len(messages))
            if len(messages) < limit:
                first = messages[0].seq if messages else seq
                missing = limit - len(messages)
                messages = [*await store.list_before(conn, conversation_id, first, missing), *messages]
    if not messages:
        # Beyond an end: everything there is lies on the other side (a visible conversation has messages).
        return Page([], has_older=position.where == "after", has_newer=position.where == "before")
    shown = [message.shown_to(rights) for message in messages]
    return Page(shown, shown[0].seq > 1, shown[-1].seq < last_seq)
