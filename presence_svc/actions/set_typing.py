"""Tells that somebody types."""

from __future__ import annotations

from uuid import UUID

from presence_svc import events
from presence_svc.actions.deps import Deps
from servicekit.errors import ChatError, Reason
from servicekit.realtime import conversation_channel


async def set_typing(deps: Deps, user_id: str, conversation_id: UUID, *, typing: bool) -> None:
    """Tells those who may see it that somebody types, or has stopped; nothing of it is stored.

    Raises ChatError NOT_FOUND when they are not in the conversation. When nobody may see it, it is published
    for nobody: neither the time it takes nor a Redis that is away shows the difference.
    """
    [company] = await deps.relations.get_companies([(user_id, conversation_id)])
    if company is None:
        raise ChatError(Reason.NOT_FOUND, "There is no such conversation.")
    payload = events.typing_payload(user_id, conversation_id, typing, company.typing, deps.clock.now())
    await deps.states.publish(conversation_channel(str(conversation_id)), payload)
