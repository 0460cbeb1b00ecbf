"""Records the profiles of people who were seen in a token."""

from __future__ import annotations

from collections.abc import Sequence

from conversation_svc import store
from conversation_svc.actions.deps import Deps
from conversation_svc.domain import Profile


async def sync_profile(deps: Deps, profile: Profile) -> None:
    """Records a profile, which has a role. One read and no more when nothing changed."""
    await sync_profiles(deps, [profile])


async def sync_profiles(deps: Deps, profiles: Sequence[Profile]) -> None:
    """Records profiles, each with a role; of a person the last holds. One read when nothing changed."""
    latest = {profile.user_id: profile for profile in profiles}
    if not latest:
        return
    known = await store.get_profiles(deps.pool, list(latest))
    changed = [profile for user_id, profile in latest.items() if known.get(user_id) != profile]
    if changed:
        await store.put_profiles(deps.pool, changed, deps.clock.now())
