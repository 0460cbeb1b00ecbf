"""Locks. Each is a statement of its own, so that the next one reads all that was committed before."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from hashlib import blake2b
from uuid import UUID

from conversation_svc.domain import pair_of
from conversation_svc.store.rows import q
from servicekit.db import Executor


def pair_key(user_id: str, other_id: str) -> int:
    """The key of the pair's advisory lock: 64 bits, the same for both orders.

    A collision makes strangers wait for each other for a moment, no more.
    """
    return _lock_key("conversation_svc.pair", *pair_of(user_id, other_id))


async def lock_start_key(conn: Executor, user_id: str, key: str) -> None:
    """Serializes one person's starts under one key."""
    await q.lock_start_key.execute(conn, _lock_key("conversation_svc.start_key", user_id, key))


async def lock_settings(conn: Executor, user_id: str) -> None:
    """Keeps everybody else from changing that person's settings and from adding them to a conversation."""
    await q.lock_settings.execute(conn, _lock_key("conversation_svc.settings", user_id))


async def share_settings(conn: Executor, *user_ids: str) -> None:
    """Keeps the settings of those people as they are, for whoever adds them to a conversation."""
    await q.share_settings.execute(
        conn, sorted({_lock_key("conversation_svc.settings", each) for each in user_ids})
    )


async def lock_pair(conn: Executor, user_id: str, other_id: str) -> list[UUID]:
    """Takes the pair's lock, then those of its conversations, of which it returns the ids."""
    await q.lock_pair.execute(conn, pair_key(user_id, other_id))
    rows = await q.lock_pair_conversations.fetch(conn, *pair_of(user_id, other_id))
    return [row["id"] for row in rows]


async def lock_conversations(conn: Executor, ids: Iterable[UUID]) -> None:
    """Locks the conversations, in the order of their ids."""
    await q.lock_conversations.execute(conn, sorted(set(ids)))


async def lock_conversations_of(conn: Executor, user_id: str) -> list[UUID]:
    """Locks all conversations that somebody is in, in the order of their ids. Under the settings' lock."""
    return [row["id"] for row in await q.lock_conversations_of.fetch(conn, user_id)]


async def lock_expiring(conn: Executor, now: datetime, limit: int) -> list[UUID]:
    """Locks at most `limit` requests whose time is over and that nobody else has locked."""
    return [row["id"] for row in await q.lock_expiring.fetch(conn, now, limit)]


def _lock_key(*words: str) -> int:
    text = "\0".join(words)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)
