"""Starts a conversation with its first message, or finds the pair's own.

The conversation is committed here first; OpenConversation then stores gate and message in one transaction of
message_svc. Until that is confirmed the conversation is invisible, and a retry finds the pair and repeats the
call. Nothing is published here: message_svc tells of the conversation when it stores the message.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import structlog
from splits.chat.message.v1 import message_pb2

from conversation_svc import events, store
from conversation_svc.actions.deps import Deps, Viewed
from conversation_svc.actions.get_conversations import get_conversation
from conversation_svc.actions.push_gates import confirm_pushes, not_enforced, push_gates, save_change
from conversation_svc.actions.sync_profile import sync_profile
from conversation_svc.domain import (
    Context,
    Conversation,
    Existing,
    Gate,
    Join,
    Kind,
    Participant,
    Profile,
    Refusal,
    Side,
    Situation,
    Start,
    StartKey,
    StartNew,
    State,
    TryAgain,
    advance,
    check_context,
    compute_gate,
    decide_start,
    with_company,
)
from conversation_svc.messages import Opening
from servicekit.db import Executor
from servicekit.errors import ChatError, Reason, Violation
from servicekit.identity import ActingUser
from servicekit.ids import new_id

log = structlog.get_logger(__name__)

_POINTERS = {"company_logo_url": "/context/companyLogoUrl", "url": "/context/url"}


@dataclass(frozen=True, slots=True)
class Created:
    """Started: the conversation as its starter sees it, and its first message."""

    viewed: Viewed
    message: message_pb2.Message


async def create_conversation(
    deps: Deps,
    actor: ActingUser,
    me: Profile,
    recipient_id: str,
    context: Context,
    message: message_pb2.NewMessage,
    start_key: StartKey | None = None,
) -> Created | Viewed | Refusal:
    """What became of `actor` (whose profile is `me`) writing to somebody.

    `Viewed`: the two have a conversation already, where the message is to be sent under its rules. A repeat
    under the same `start_key` is led there too, and message_svc knows its message.

    Raises:
        ChatError: VALIDATION_FAILED; UNAVAILABLE when it is committed but its message is not known to be
            stored: a repeat completes it.
    """
    _check(deps, me, recipient_id, context)
    await sync_profile(deps, me)
    async with deps.pool.acquire() as conn, conn.transaction():
        chosen = await _choose(deps, conn, me, recipient_id, context, message, start_key)
    if isinstance(chosen, Refusal):
        return chosen
    if isinstance(chosen, UUID):
        return await get_conversation(deps, me.user_id, chosen)
    gate = compute_gate(chosen)
    try:
        outcome = await _open(deps, actor, gate, message)
    except ChatError as error:
        if error.reason is Reason.VALIDATION_FAILED and start_key is not None:
            await store.delete_start_key(deps.pool, me.user_id, start_key.key)
        raise
    if isinstance(outcome, Refusal) and start_key is not None:
        await store.delete_start_key(deps.pool, me.user_id, start_key.key)
    return outcome


async def _choose(
    deps: Deps,
    conn: Executor,
    me: Profile,
    recipient_id: str,
    context: Context,
    message: message_pb2.NewMessage,
    start_key: StartKey | None,
) -> Situation | UUID | Refusal:
    """The conversation to open, or the id of an open one where the message is to go."""
    if start_key is not None:
        await store.lock_start_key(conn, me.user_id, start_key.key)
        earlier = await store.get_start_key(conn, me.user_id, start_key.key)
        if earlier is not None:
            body_hash, conversation_id, opened = earlier
            if body_hash != start_key.body_hash:
                return Refusal.IDEMPOTENCY_CONFLICT
            if opened:
                return conversation_id
    now = deps.clock.now()
    await store.share_settings(conn, me.user_id, recipient_id)
    situations = await store.get_situations(conn, await store.lock_pair(conn, me.user_id, recipient_id))
    start = await _decide(deps, conn, me, recipient_id, context.job_id, situations, now)
    chosen: Situation | UUID
    match start:
        case Refusal():
            if start_key is not None:  # an earlier try may have kept it
                await store.delete_start_key(conn, me.user_id, start_key.key)
            return start
        case Existing():
            chosen = start.conversation.id
        case StartNew() if message.reply_to_id:
            return Refusal.REPLY_NOT_FOUND  # there is nothing yet that it could answer
        case StartNew():
            new = _new_situation(deps, me, recipient_id, with_company(context, me), start.state, now)
            await store.add_conversation(conn, new, deps.push_due_at(now))
            [chosen] = await store.get_situations(conn, [new.conversation.id])
        case TryAgain() | Join():
            before = next(each for each in situations if each.conversation == start.conversation)
            chosen = await _open_again(deps, conn, before, start, me.user_id, now)
    if start_key is not None:
        conversation_id = chosen if isinstance(chosen, UUID) else chosen.conversation.id
        await store.put_start_key(conn, me.user_id, start_key, conversation_id, now)
    return chosen


def _check(deps: Deps, me: Profile, recipient_id: str, context: Context) -> None:
    violations = [
        Violation(_POINTERS[field], "origin_not_allowed", fault)
        for field, fault in check_context(context, deps.rules)
    ]
    if recipient_id == me.user_id:
        violations.append(Violation("/recipientId", "not_oneself", "You cannot write to yourself."))
    if violations:
        raise ChatError(Reason.VALIDATION_FAILED, "The request is not valid.", violations=violations)


async def _decide(
    deps: Deps,
    conn: Executor,
    me: Profile,
    recipient_id: str,
    job_id: str,
    situations: list[Situation],
    now: datetime,
) -> Start:
    profiles = await store.get_profiles(conn, [recipient_id])
    return decide_start(
        me,
        profiles.get(recipient_id),
        job_id,
        of_pair=[each.conversation for each in situations],
        blocked=await store.is_blocked(conn, me.user_id, recipient_id),
        connected=await store.is_connected(conn, me.user_id, recipient_id),
        now=now,
        rules=deps.rules,
    )


async def _open_again(
    deps: Deps,
    conn: Executor,
    before: Situation,
    start: TryAgain | Join,
    user_id: str,
    now: datetime,
) -> Situation:
    """An earlier one that was never opened, made ready for another first message."""
    situation = before
    if isinstance(start, Join) and before.conversation.state is State.REQUEST:
        situation = advance(
            before,
            before.with_state(State.ACTIVE),
            now,
        )
        owed = events.accepted(situation, user_id, now)
        await save_change(deps, conn, [situation], owed, now, opening=True)
    await store.set_opening(
        conn, situation.conversation.id, now, deps.push_due_at(now), now + deps.rules.request_ttl
    )
    return situation


async def _open(
    deps: Deps, actor: ActingUser, gate: Gate, message: message_pb2.NewMessage
) -> Created | Viewed | Refusal:
    conversation_id = gate.conversation_id
    try:
        opening: Opening = await deps.messages.open_conversation(gate, message, actor)
    except ChatError as error:
        if error.reason is Reason.VALIDATION_FAILED:
            raise  # a repeat would fare no better; the sweeper forgets the conversation
        log.warning("opening_not_confirmed", conversation=str(conversation_id), reason=error.reason.value)
        raise not_enforced() from error
    await push_gates(deps, await confirm_pushes(deps, [opening.held]))
    if opening.held.version < gate.version:
        raise not_enforced()
    if opening.message is not None:
        return Created(await get_conversation(deps, actor.user_id, conversation_id), opening.message)
    return await _not_stored(deps, actor.user_id, opening)


async def _not_stored(deps: Deps, user_id: str, opening: Opening) -> Viewed | Refusal:
    """The rights that overtook the opening did not allow the message: a block, or another first message."""
    situations = await store.get_situations(deps.pool, [opening.held.conversation_id])
    if opening.refusal in (Refusal.FORBIDDEN, Refusal.REPLY_NOT_FOUND):
        return opening.refusal
    if opening.refusal is Refusal.UNDELIVERABLE or any(each.blocks for each in situations):
        # Not REQUEST_PENDING: nothing of theirs is stored that could wait for an answer.
        return Refusal.UNDELIVERABLE
    await confirm_pushes(deps, [replace(opening.held, opened=True)])
    return await get_conversation(deps, user_id, opening.held.conversation_id)


def _new_situation(
    deps: Deps, me: Profile, recipient_id: str, context: Context, state: State, now: datetime
) -> Situation:
    conversation = Conversation(
        id=new_id(),
        kind=Kind.DIRECT,
        state=state,
        initiator_id=me.user_id,
        recipient_id=recipient_id,
        job_id=context.job_id,
        context=context if context != Context() else None,
        gate_version=1,
        gate_pushed=0,
        opened=False,
        gate_applied=False,
        declined_at=None,
        created_at=now,
        expires_at=now + deps.rules.request_ttl,
    )
    people = (
        Participant(me, Side.INITIATOR, now, None, 1, now),
        Participant(Profile(recipient_id), Side.RECIPIENT, now, None, 1, now),
    )
    return Situation(conversation, people, frozenset())
