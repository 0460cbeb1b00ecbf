"""Lifts a block."""

from __future__ import annotations

from conversation_svc.actions.change_block import enforce_block
from conversation_svc.actions.deps import Deps


async def delete_block(deps: Deps, user_id: str, blocked_id: str) -> None:
    """Returns once the block is lifted in every conversation of the two. Repeatable.

    Raises:
        ChatError: UNAVAILABLE when it is lifted but message_svc does not hold that yet.
    """
    if user_id != blocked_id:
        await enforce_block(deps, user_id, blocked_id, created=False)
