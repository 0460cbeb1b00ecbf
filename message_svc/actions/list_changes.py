"""Reads what changed in a conversation since a client was last there."""

from __future__ import annotations

from uuid import UUID

import asyncpg

from message_svc import store
from message_svc.domain import MAX_SEQ, StoredMessage
from servicekit.errors import ChatError, Reason


async def list_changes(
    pool: asyncpg.Pool, user_id: str, conversation_id: UUID, after_change_seq: int, limit: int
) -> tuple[list[StoredMessage], bool]:
    """At most `limit` messages in the order of their latest changes, and whether there are more.

    Raises:
        ChatError: NOT_FOUND when the person is not in the conversation.
    """
    after = min(after_change_seq, MAX_SEQ)
    async with pool.acquire() as conn:
        gate = await store.read_gate(conn, user_id, conversation_id)
        if gate is None:
            raise ChatError(Reason.NOT_FOUND, "Conversation not found.")
        found = await store.list_changes(conn, conversation_id, after, limit + 1)
    rights = gate.snapshot.rights.get(user_id)
    return [message.shown_to(rights) for message in found[:limit]], len(found) > limit
