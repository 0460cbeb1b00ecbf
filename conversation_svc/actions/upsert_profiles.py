"""Records people as the marketplace knows them, so that they can be written to before their first visit."""

from __future__ import annotations

from collections.abc import Sequence

from conversation_svc import store
from conversation_svc.actions.deps import Deps
from conversation_svc.domain import Profile
from servicekit.errors import ChatError, Reason, Violation


async def upsert_profiles(deps: Deps, profiles: Sequence[Profile]) -> None:
    """Records profiles; of a person named twice the last one holds.

    Raises:
        ChatError: VALIDATION_FAILED when a role is missing: who may start with whom depends on it.
    """
    violations = [
        Violation(f"/profiles/{number}/role", "required", "A role is needed.")
        for number, profile in enumerate(profiles)
        if profile.role is None
    ]
    if violations:
        raise ChatError(Reason.VALIDATION_FAILED, "The request is not valid.", violations=violations)
    await store.put_profiles(deps.pool, profiles, deps.clock.now())
