"""Rights: what each person may do, and what each may know of it.

Two answers to one question. `compute_gate` is the truth that message_svc enforces; `view_of` is what a
viewer reads. They differ where the truth is nobody else's business: a request that was declined, or whose
recipient blocked its sender, reads as waiting to the sender; a person who was blocked reads an open composer.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from conversation_svc.domain.types import (
    Blocks,
    Conversation,
    Folder,
    Gate,
    Member,
    Participant,
    Policy,
    PolicyReason,
    Refusal,
    Side,
    Situation,
    State,
    View,
)

# Messages that a request holds before it is accepted. No setting: a second one that is stored while the
# recipient waits, and refused when they blocked or declined, would tell which it is.
REQUEST_MESSAGES = 1


def viewer_state(conversation: Conversation, side: Side) -> State:
    """The state, as somebody on that side may know it."""
    if side is Side.RECIPIENT and conversation.declined_at is not None:
        return State.DECLINED  # and nothing that the initiator does afterwards moves it
    if side is Side.INITIATOR and conversation.state is State.DECLINED:
        return State.REQUEST
    return conversation.state


def folder_of(conversation: Conversation, side: Side) -> Folder:
    """Where the conversation stands for somebody on that side."""
    return _folder(viewer_state(conversation, side), side)


def _folder(state: State, side: Side) -> Folder:
    if state is State.ACTIVE:
        return Folder.INBOX
    if state is State.REQUEST:
        return Folder.SENT if side is Side.INITIATOR else Folder.REQUESTS
    return Folder.NONE


def is_blocked(blocks: Blocks, user_id: str, other_id: str) -> bool:
    """Whether there is a block between the two, either way."""
    return (user_id, other_id) in blocks or (other_id, user_id) in blocks


def compute_gate(situation: Situation) -> Gate:
    """The rights of everybody in the conversation."""
    conversation = situation.conversation
    return Gate(
        conversation_id=conversation.id,
        version=conversation.gate_version,
        state=conversation.state,
        members=tuple(_member(situation, participant) for participant in situation.participants),
    )


def _member(situation: Situation, member: Participant) -> Member:
    conversation = situation.conversation
    left = member.left_at is not None
    opposite = _opposite(situation, member)
    blocked = any(is_blocked(situation.blocks, member.user_id, other) for other in opposite)
    blocks_someone = any((member.user_id, other) in situation.blocks for other in opposite)
    active = conversation.state is State.ACTIVE and not left
    refusal = Refusal.NOT_FOUND if left else _refusal(conversation, member.side, blocked, blocks_someone)
    limited = conversation.state is State.REQUEST and refusal is None
    return Member(
        user_id=member.user_id,
        can_send=refusal is None,
        refusal=refusal,
        message_limit=REQUEST_MESSAGES if limited else None,
        links_clickable=active,
        attachments_allowed=active,
        folder=Folder.NONE if left else folder_of(conversation, member.side),
        shares_receipts=active and not blocked,
        left=left,
        state=viewer_state(conversation, member.side),
        version=member.version,
        receipts_hidden=member.hides_receipts,
    )


def _refusal(conversation: Conversation, side: Side, blocked: bool, blocks_someone: bool) -> Refusal | None:
    """What a send by somebody on that side is answered with; None = it is stored."""
    match conversation.state, side:
        case State.ACTIVE, _:
            return Refusal.UNDELIVERABLE if blocked else None
        case State.REQUEST, Side.INITIATOR:
            # The same answer as to a second message while the recipient only waits.
            return Refusal.REQUEST_PENDING if blocked else None
        case State.REQUEST, Side.RECIPIENT:
            return Refusal.UNDELIVERABLE if blocks_someone else Refusal.ACCEPT_REQUIRED
        case State.DECLINED, Side.INITIATOR:
            return Refusal.REQUEST_PENDING
        case _:
            return Refusal.REQUEST_CLOSED


def policy_of(situation: Situation, viewer: Participant) -> Policy:
    """What the viewer may do, as far as they may know.

    `messages_left` of a request's initiator is what its first message left.
    """
    state = viewer_state(situation.conversation, viewer.side)
    return _policy(state, viewer.side, _blocked_by(situation, viewer))


def _policy(state: State, side: Side, blocked_by_me: bool) -> Policy:
    messages_left: int | None = None
    reason: PolicyReason | None
    match state, side:
        case State.ACTIVE, _:
            reason = PolicyReason.BLOCKED_BY_ME if blocked_by_me else None
        case State.REQUEST, Side.INITIATOR:
            messages_left = REQUEST_MESSAGES - 1
            reason = PolicyReason.REQUEST_PENDING
        case State.REQUEST, Side.RECIPIENT:
            reason = PolicyReason.BLOCKED_BY_ME if blocked_by_me else PolicyReason.ACCEPT_REQUIRED
        case _:
            reason = PolicyReason.REQUEST_CLOSED
    return Policy(
        can_send=reason is None,
        reason=reason,
        links_clickable=state is State.ACTIVE,
        attachments_allowed=state is State.ACTIVE,
        messages_left=messages_left,
    )


def view_of(situation: Situation, viewer: Participant) -> View:
    """All that the viewer can read of the conversation's rights."""
    state, blocked_by_me = viewer_state(situation.conversation, viewer.side), _blocked_by(situation, viewer)
    return View(
        state=state,
        folder=_folder(state, viewer.side),
        policy=_policy(state, viewer.side, blocked_by_me),
        blocked_by_me=blocked_by_me,
        receipts_hidden=viewer.hides_receipts and state is State.ACTIVE,
    )


def advance(before: Situation, after: Situation, now: datetime) -> Situation:
    """`after` as the next version: the gate's rises, and of the people's only those whose view moved."""

    def moved(old: Participant, new: Participant) -> Participant:
        old_view = view_of(before, old)
        new_view = view_of(after, new)
        return new if old_view == new_view else replace(new, version=new.version + 1, updated_at=now)

    return replace(
        after,
        conversation=replace(after.conversation, gate_version=before.conversation.gate_version + 1),
        participants=tuple(
            moved(old, new) for old, new in zip(before.participants, after.participants, strict=True)
        ),
    )


def _opposite(situation: Situation, member: Participant) -> list[str]:
    return [
        other.user_id
        for other in situation.participants
        if other.side is not member.side and other.left_at is None
    ]


def _blocked_by(situation: Situation, viewer: Participant) -> bool:
    if not situation.blocks:
        return False
    return any((viewer.user_id, other) in situation.blocks for other in _opposite(situation, viewer))
