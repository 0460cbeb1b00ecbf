"""People's presence, as viewers may see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from presence_svc import store
from presence_svc.actions.deps import Deps
from presence_svc.domain import Status, shown_at

_TOGETHER = 200
"""People of one exchange with Redis: what else waits for it waits some milliseconds only."""


@dataclass(frozen=True, slots=True)
class Presence:
    """What a viewer may see; `seen_ms` since the epoch, None = never, or not to be seen."""

    user_id: str
    status: Status
    seen_ms: int | None


class Question(NamedTuple):
    """Somebody who looks at people."""

    viewer_id: str
    user_ids: Sequence[str]


async def get_presence(deps: Deps, questions: Sequence[Question]) -> list[list[Presence]]:
    """For at most 64 questions about at most 100 people: those of each whom its viewer may ask about, each
    once, in the order asked.

    Those who hide, and those with a block between them and the viewer, read as one who was never here. They
    are looked up all the same, so that the time it takes tells nothing.
    """
    asked = [Question(viewer_id, list(dict.fromkeys(user_ids))) for viewer_id, user_ids in questions]
    visible = await _visible(deps, asked)
    found = await _read(deps, list(dict.fromkeys(each for rights in visible for each in rights)))
    return [
        [_shown(found[each], rights[each]) for each in user_ids if each in rights]
        for (_, user_ids), rights in zip(asked, visible, strict=True)
    ]


async def _visible(deps: Deps, asked: Sequence[Question]) -> list[dict[str, bool]]:
    """Whom each viewer may ask about, themself among them if they do, and whether they may see them."""
    others: dict[int, Question] = {}
    for place, (viewer_id, user_ids) in enumerate(asked):
        if about := [each for each in user_ids if each != viewer_id]:
            others[place] = Question(viewer_id, about)
    rights = await deps.relations.get_presence_rights(list(others.values())) if others else []
    known = dict(zip(others, rights, strict=True))
    return [
        known.get(place, {}) | ({viewer_id: True} if viewer_id in user_ids else {})
        for place, (viewer_id, user_ids) in enumerate(asked)
    ]


def _shown(presence: Presence, visible: bool) -> Presence:
    return presence if visible else Presence(presence.user_id, Status.OFFLINE, None)


async def _read(deps: Deps, user_ids: Sequence[str]) -> dict[str, Presence]:
    """Everybody's, by user id."""
    found: dict[str, Presence] = {}
    for start in range(0, len(user_ids), _TOGETHER):
        found |= await _read_some(deps, user_ids[start : start + _TOGETHER])
    return found


async def _read_some(deps: Deps, user_ids: Sequence[str]) -> dict[str, Presence]:
    now_ms, held = await deps.states.read(user_ids)
    states = {user_id: store.decode(stored) for user_id, stored in held.items()}
    seen = {user_id: state.seen_ms for user_id, state in states.items() if state.seen_ms is not None}
    unknown = [user_id for user_id in user_ids if user_id not in seen]
    if unknown:  # Redis was flushed, or they were not here for a week
        seen |= await store.get_last_seen(deps.pool, unknown)
    return {
        # As it is told: a change that was not told yet is not to be missed by who looked before it was.
        user_id: Presence(user_id, shown_at(state, now_ms, deps.rules), seen.get(user_id))
        for user_id, state in states.items()
    }
