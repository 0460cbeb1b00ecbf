"""Somebody's presence, as a viewer may see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from presence_svc import store
from presence_svc.actions.deps import Deps
from presence_svc.domain import Status, status_at


@dataclass(frozen=True, slots=True)
class Presence:
    """What a viewer may see; `seen_ms` since the epoch, None = never, or not to be seen."""

    user_id: str
    status: Status
    seen_ms: int | None


async def get_presence(deps: Deps, viewer_id: str, user_ids: Sequence[str]) -> list[Presence]:
    """Of at most 100 people those whom the viewer may ask about, each once, in the order asked.

    Those who hide, and those with a block between them and the viewer, read as one who was never here. They
    are looked up all the same, so that the time it takes tells nothing.
    """
    asked = list(dict.fromkeys(user_ids))
    others = [each for each in asked if each != viewer_id]
    rights = await deps.relations.get_presence_rights(viewer_id, others) if others else {}
    visible = {**rights, viewer_id: True}
    found = await _read(deps, [each for each in asked if each in visible])
    return [each if visible[each.user_id] else Presence(each.user_id, Status.OFFLINE, None) for each in found]


async def _read(deps: Deps, user_ids: Sequence[str]) -> list[Presence]:
    """Everybody's, in their order."""
    if not user_ids:
        return []
    now_ms, held = await deps.states.read(user_ids)
    states = {user_id: store.decode(stored) for user_id, stored in held.items()}
    seen = {user_id: state.seen_ms for user_id, state in states.items() if state.seen_ms is not None}
    unknown = [user_id for user_id in user_ids if user_id not in seen]
    if unknown:  # Redis was flushed, or they were not here for a week
        seen |= await store.get_last_seen(deps.pool, unknown)
    return [Presence(user_id, status_at(states[user_id], now_ms), seen.get(user_id)) for user_id in user_ids]
