"""Changes people's states, and tells what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from presence_svc import events, store
from presence_svc.actions.deps import Deps
from presence_svc.domain import Rules, State, announced, due_ms, to_save
from presence_svc.store import Write

Change = Callable[[State, int], State]
"""The next state, of the one there is and the time (milliseconds since the epoch)."""


_TOGETHER = 200
"""People of one exchange with Redis: few enough that what else waits for Redis, or for this process, waits
some milliseconds only, also where many share a processor."""


class Changed(NamedTuple):
    """How many people's states became others, and of how many people something was told."""

    states: int
    told: int


async def change_states(deps: Deps, changes: Mapping[str, Change]) -> Changed:
    """Changes each person's state by their change.

    A state that somebody else has changed meanwhile is decided on again: a change may run more than once, and
    each round at least one writer of each person succeeds. Two round trips to Redis for each _TOGETHER people
    when nobody interferes.
    """
    people = list(changes)
    parts = [people[start : start + _TOGETHER] for start in range(0, len(people), _TOGETHER)]
    done = [await _change(deps, changes, part) for part in parts]
    return Changed(sum(each.states for each in done), sum(each.told for each in done))


async def _change(deps: Deps, changes: Mapping[str, Change], people: Sequence[str]) -> Changed:
    now_ms, held = await deps.states.read(people)
    states = told = 0
    while held:
        writes: list[Write] = []
        saves: dict[str, int] = {}
        for user_id, stored in held.items():
            before = store.decode(stored)
            after = changes[user_id](before, now_ms)
            if after != before:
                writes.append(_write(user_id, stored, before, after, now_ms, deps.rules))
                if (seen_ms := to_save(before, after)) is not None:
                    saves[user_id] = seen_ms
        held = await deps.states.apply(writes)
        deps.last_seen.add({user_id: at for user_id, at in saves.items() if user_id not in held})
        done = [write for write in writes if write.user_id not in held]
        states += len(done)
        told += sum(write.frame is not None for write in done)
    return Changed(states, told)


def _write(user_id: str, stored: bytes, before: State, after: State, now_ms: int, rules: Rules) -> Write:
    status = announced(before, after)
    frame = None
    if status is not None:
        seen_at = None if after.seen_ms is None else store.moment(after.seen_ms)
        frame = events.presence_frame(user_id, status, seen_at, store.moment(now_ms))
    return Write(user_id, stored, after, due_ms(after, rules), frame)
