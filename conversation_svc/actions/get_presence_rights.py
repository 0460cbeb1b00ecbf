"""Whose presence somebody may ask for, and whose they may see."""

from __future__ import annotations

from collections.abc import Sequence

from conversation_svc import store
from conversation_svc.actions.deps import Deps
from conversation_svc.domain import PresenceRight, sees_presence


async def get_presence_rights(deps: Deps, viewer_id: str, user_ids: Sequence[str]) -> list[PresenceRight]:
    """Of those people the ones whom the viewer shares an active conversation with, each once. One read.

    The viewer is none of them: nobody is in a conversation with themself.
    """
    acquainted = await store.list_acquainted(deps.pool, viewer_id, list(dict.fromkeys(user_ids)))
    return [PresenceRight(user_id, sees_presence(between)) for user_id, between in acquainted.items()]
