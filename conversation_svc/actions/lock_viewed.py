"""Locks one conversation for a person who is in it."""

from __future__ import annotations

from uuid import UUID

from conversation_svc import store
from conversation_svc.actions.deps import Viewed
from conversation_svc.actions.get_conversations import find_viewer, not_found
from servicekit.db import Executor


async def lock_viewed(conn: Executor, user_id: str, conversation_id: UUID) -> Viewed:
    """Locks, then reads in the next statement. ChatError NOT_FOUND when it does not exist for that person.

    A block raises the gate under this same lock: either it is read here, or it waits for this transaction.
    """
    await store.lock_conversations(conn, [conversation_id])
    for situation in await store.get_situations(conn, [conversation_id]):
        viewer = find_viewer(situation, user_id)
        if viewer is not None:
            return Viewed(situation, viewer)
    raise not_found()
