"""Conversations as one person may see them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from conversation_svc import store
from conversation_svc.actions.deps import Deps, Viewed
from conversation_svc.domain import Participant, Situation
from servicekit.errors import ChatError, Reason


async def get_conversations(deps: Deps, user_id: str, ids: Sequence[UUID]) -> list[Viewed]:
    """Those of them that are open and that the person is in; the rest is left out."""
    situations = await store.get_situations(deps.pool, list(dict.fromkeys(ids)))
    return [
        Viewed(situation, viewer)
        for situation in situations
        if (viewer := find_viewer(situation, user_id)) is not None
    ]


async def get_conversation(deps: Deps, user_id: str, conversation_id: UUID) -> Viewed:
    """One conversation. ChatError NOT_FOUND when it does not exist for that person."""
    for viewed in await get_conversations(deps, user_id, [conversation_id]):
        return viewed
    raise not_found()


def find_viewer(situation: Situation, user_id: str) -> Participant | None:
    """The person in the conversation, if they may see it."""
    return situation.find(user_id) if situation.conversation.opened else None


def not_found() -> ChatError:
    """The same for what does not exist, is not open, and is not theirs."""
    return ChatError(Reason.NOT_FOUND, "Not found.")
