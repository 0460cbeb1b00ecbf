"""The initiator takes a request back."""

from __future__ import annotations

from uuid import UUID

from conversation_svc import events
from conversation_svc.actions.deps import Deps, Viewed
from conversation_svc.actions.get_conversations import get_conversation
from conversation_svc.actions.lock_viewed import lock_viewed
from conversation_svc.actions.push_gates import owed_gates, push_gates, save_change
from conversation_svc.domain import Refusal, advance, answer_withdraw


async def withdraw_request(deps: Deps, user_id: str, conversation_id: UUID) -> Viewed | Refusal:
    """The conversation, once nobody may write in it any more; a repeat answers the same.

    It works alike on a request that was declined or whose sender was blocked: to them it still waits.

    Raises:
        ChatError: NOT_FOUND; UNAVAILABLE when it is withdrawn but not enforced yet.
    """
    now = deps.clock.now()
    async with deps.pool.acquire() as conn, conn.transaction():
        seen = await lock_viewed(conn, user_id, conversation_id)
        before = seen.situation
        answer = answer_withdraw(before.conversation, seen.viewer.side)
        if isinstance(answer, Refusal):
            return answer
        if answer is not before.conversation.state:
            after = advance(
                before,
                before.with_state(answer),
                now,
            )
            await save_change(deps, conn, [after], events.withdrawn(before, after, user_id, now), now)
        gates = await owed_gates(conn, [conversation_id])
    await push_gates(deps, gates)
    return await get_conversation(deps, user_id, conversation_id)
