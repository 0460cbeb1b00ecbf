"""Lets the leases lapse that were not renewed."""

from __future__ import annotations

from functools import partial

from presence_svc.actions.change_states import change_states
from presence_svc.actions.deps import Deps
from presence_svc.domain import advance

_PER_SHARD = 16
"""People of one shard in one go."""


async def sweep_leases(deps: Deps) -> int:
    """Changes every state that time has changed by now, and tells it; how many people were told of.

    Any number of replicas may do it at once: a state is put in the place of the one it was made of, and told,
    in one step, so each lapse is told by one of them.
    """
    now_ms, told = await deps.states.now_ms(), 0
    change = partial(advance, rules=deps.rules)
    while due := await deps.states.due(now_ms, _PER_SHARD):
        changed = await change_states(deps, dict.fromkeys(due, change))
        told += changed.told
        if len(due) < _PER_SHARD or not changed.states:
            break  # no shard had more, or another replica is at it
    return told
