"""Records the acting user's profile."""

from __future__ import annotations

from conversation_svc import store
from conversation_svc.actions.deps import Deps
from conversation_svc.domain import Profile


async def sync_profile(deps: Deps, profile: Profile) -> None:
    """Records a profile, which has a role. One read and no more when nothing changed."""
    known = await store.get_profiles(deps.pool, [profile.user_id])
    if known.get(profile.user_id) != profile:
        await store.put_profiles(deps.pool, [profile], deps.clock.now())
