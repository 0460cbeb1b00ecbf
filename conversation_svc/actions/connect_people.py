"""Records that two people know each other: they start without a request."""

from __future__ import annotations

from conversation_svc import store
from conversation_svc.actions.deps import Deps
from servicekit.errors import ChatError, Reason, Violation


async def connect_people(deps: Deps, user_id: str, other_id: str) -> None:
    """Repeatable. Conversations that they have already stay as they are.

    Raises:
        ChatError: VALIDATION_FAILED for a person with themself.
    """
    if user_id == other_id:
        violation = Violation("/otherUserId", "not_oneself", "Nobody is connected to themself.")
        raise ChatError(Reason.VALIDATION_FAILED, violation.message, violations=[violation])
    await store.connect_people(deps.pool, user_id, other_id, deps.clock.now())
