"""The recipient accepts a request."""

from __future__ import annotations

from uuid import UUID

from conversation_svc import events
from conversation_svc.actions.changing import changing
from conversation_svc.actions.deps import Deps, Viewed
from conversation_svc.actions.get_conversations import get_conversation
from conversation_svc.actions.lock_viewed import lock_viewed
from conversation_svc.actions.push_gates import owed_gates, push_gates, save_change
from conversation_svc.domain import Refusal, advance, answer_accept


async def accept_request(deps: Deps, user_id: str, conversation_id: UUID) -> Viewed | Refusal:
    """The conversation, once both may write in it; a repeat answers the same.

    Raises:
        ChatError: NOT_FOUND; UNAVAILABLE when it is accepted but not enforced yet.
    """
    now = deps.clock.now()
    async with changing(deps) as change:
        conn = change.conn
        seen = await lock_viewed(conn, user_id, conversation_id)
        before = seen.situation
        blocks_initiator = (user_id, before.conversation.initiator_id) in before.blocks
        answer = answer_accept(before.conversation, seen.viewer.side, blocks_initiator=blocks_initiator)
        if isinstance(answer, Refusal):
            return answer
        if answer is not before.conversation.state:
            after = advance(
                before,
                before.with_state(answer),
                now,
            )
            await save_change(deps, conn, [after], events.accepted(after, user_id, now), now)
            change.concerned.update(each.user_id for each in after.participants)
        gates = await owed_gates(conn, [conversation_id])
    await push_gates(deps, gates)
    return await get_conversation(deps, user_id, conversation_id)
