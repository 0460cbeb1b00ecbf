"""Answers to a request: who may give them, and when; and its end when nobody did.

Each function returns the state that the conversation has afterwards - the one it has already when the
answer is a repeat - or why not.
"""

from __future__ import annotations

from datetime import datetime

from conversation_svc.domain.types import Conversation, Refusal, Side, State

EXPIRING = (State.REQUEST, State.DECLINED)
"""States that end with the request's time."""


def answer_accept(conversation: Conversation, side: Side, *, blocks_initiator: bool) -> State | Refusal:
    """The recipient accepts. Who blocked the initiator has to lift that first."""
    if side is not Side.RECIPIENT:
        return Refusal.FORBIDDEN
    match conversation.state:
        case State.ACTIVE:
            return State.ACTIVE
        case State.REQUEST:
            return Refusal.UNDELIVERABLE if blocks_initiator else State.ACTIVE
        case _:
            return Refusal.REQUEST_CLOSED


def answer_decline(conversation: Conversation, side: Side) -> State | Refusal:
    """The recipient declines. A repeat stays one when the initiator withdrew or time ran out since."""
    if side is not Side.RECIPIENT:
        return Refusal.FORBIDDEN
    if conversation.declined_at is not None:
        return conversation.state
    return State.DECLINED if conversation.state is State.REQUEST else Refusal.REQUEST_CLOSED


def answer_withdraw(conversation: Conversation, side: Side) -> State | Refusal:
    """The initiator takes the request back; to them a declined one is still waiting."""
    if side is not Side.INITIATOR:
        return Refusal.FORBIDDEN
    match conversation.state:
        case State.REQUEST | State.DECLINED | State.WITHDRAWN:
            return State.WITHDRAWN
        case _:
            return Refusal.REQUEST_CLOSED


def expire(conversation: Conversation, now: datetime) -> State:
    """A request ends when its time is over. A declined one too: to its initiator it was waiting until now."""
    over = now >= conversation.expires_at
    return State.EXPIRED if over and conversation.state in EXPIRING else conversation.state
