"""The recipient declines a request, and may block the initiator in the same step."""

from __future__ import annotations

from uuid import UUID

from conversation_svc import events, store
from conversation_svc.actions.change_block import change_block
from conversation_svc.actions.changing import changing
from conversation_svc.actions.deps import Deps, Viewed
from conversation_svc.actions.get_conversations import find_viewer, get_conversation, not_found
from conversation_svc.actions.push_gates import owed_gates, publish, push_gates, save_change
from conversation_svc.domain import Refusal, State, advance, answer_decline


async def decline_request(
    deps: Deps, user_id: str, conversation_id: UUID, *, reason: str, block: bool
) -> Viewed | Refusal:
    """The conversation, once it is declined and, with `block`, the initiator blocked everywhere.

    The initiator is not told. A repeat answers the same, and the first reason stays.

    Raises:
        ChatError: NOT_FOUND; UNAVAILABLE when it is declined but not enforced yet.
    """
    now = deps.clock.now()
    pair = await store.get_pair(deps.pool, conversation_id)
    if pair is None or user_id not in pair:
        raise not_found()
    async with changing(deps) as change:
        conn = change.conn
        ids = await store.lock_pair(conn, *pair) if block else [conversation_id]
        if not block:
            await store.lock_conversations(conn, ids)
        pair_before = await store.get_situations(conn, ids)
        situations = {each.conversation.id: each for each in pair_before}
        before = situations.get(conversation_id)
        me = find_viewer(before, user_id) if before else None
        if before is None or me is None:
            raise not_found()
        answer = answer_decline(before.conversation, me.side)
        if isinstance(answer, Refusal):
            return answer
        ripe = []
        if answer is not before.conversation.state:
            after = advance(
                before,
                before.with_state(State.DECLINED, declined_at=now),
                now,
            )
            ripe += await save_change(deps, conn, [after], events.declined(after, user_id, reason, now), now)
            await store.set_decline_reason(conn, conversation_id, reason)
            situations[conversation_id] = after
        if block:
            ripe += await change_block(
                deps, change, user_id, pair[0], list(situations.values()), now, created=True
            )
        gates = await owed_gates(conn, ids)
    await publish(deps, ripe)
    await push_gates(deps, gates)
    return await get_conversation(deps, user_id, conversation_id)
