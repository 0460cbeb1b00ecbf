"""What a person shows of themself."""

from __future__ import annotations

from conversation_svc import store
from conversation_svc.actions.deps import Deps
from conversation_svc.domain import Settings


async def get_settings(deps: Deps, user_id: str) -> Settings:
    """Their settings; everything is shown by those who never changed any."""
    return await store.get_settings(deps.pool, user_id)
