"""What became of an edge's sockets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial

from presence_svc.actions.change_states import Change, Changed, change_states
from presence_svc.actions.deps import Deps
from presence_svc.domain import Report, Rules, State, report


async def report_connections(deps: Deps, reports: Iterable[tuple[str, Report]]) -> Changed:
    """Notes reports of people's connections, those of one person in their order."""
    by_user: dict[str, list[Report]] = defaultdict(list)
    for user_id, each in reports:
        by_user[user_id].append(each)
    changes: dict[str, Change] = {
        user_id: partial(_reported, reports=each, rules=deps.rules) for user_id, each in by_user.items()
    }
    return await change_states(deps, changes)


def _reported(state: State, now_ms: int, *, reports: Sequence[Report], rules: Rules) -> State:
    return report(state, reports, now_ms, rules)
