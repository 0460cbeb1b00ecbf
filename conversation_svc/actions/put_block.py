"""Blocks somebody: from the answer on nothing passes between the two."""

from __future__ import annotations

from conversation_svc.actions.change_block import enforce_block
from conversation_svc.actions.deps import Deps
from servicekit.errors import ChatError, Reason, Violation


async def put_block(deps: Deps, user_id: str, blocked_id: str) -> None:
    """Returns once the block is enforced in every conversation of the two. Repeatable.

    Whom one blocks need not be known, and none may exist by that id: the answer is the same.

    Raises:
        ChatError: VALIDATION_FAILED for oneself; UNAVAILABLE when it is made but not enforced yet.
    """
    if user_id == blocked_id:
        violation = Violation("/userId", "not_oneself", "You cannot block yourself.")
        raise ChatError(Reason.VALIDATION_FAILED, violation.message, violations=[violation])
    await enforce_block(deps, user_id, blocked_id, created=True)
