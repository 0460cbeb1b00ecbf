"""Whether somebody is here: a pure state machine over their connections, time passed in.

Times are milliseconds since the epoch. A connection is a lease: it lapses when it is not reported again in
time. What everybody is told is the best of the leases that live; it is told when it differs from what was
told last, and again now and then while it stays, so a state and its successor say whether there is something
to tell. Who goes away and comes back and goes away is not told each time: a change between online and away
that comes too soon after another is told when its time has come, if it still holds then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum


class Status(StrEnum):
    """As the contract spells them."""

    ONLINE = "online"
    AWAY = "away"
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a connection: online or away; offline = it is closed."""

    connection_id: str
    status: Status


@dataclass(frozen=True, slots=True)
class Lease:
    """A connection that is held to live until then. `status` is online or away."""

    status: Status
    until_ms: int


@dataclass(frozen=True, slots=True)
class State:
    """All that is known of one person."""

    leases: Mapping[str, Lease] = field(default_factory=dict)
    """By connection id."""
    seen_ms: int | None = None
    """The last sign of life; never goes back."""
    told: Status | None = None
    """What was told last; None = that is not known, so whatever comes is told."""
    saved_ms: int | None = None
    """When `seen_ms` was last given away to be kept; None = that is not known."""
    kept_ms: int | None = None
    """What it was then: a sign of life in the very millisecond of that comes after it."""
    told_ms: int | None = None
    """When `told` was told last; None = that is not known."""
    changed_ms: int | None = None
    """When `told` became what it is; None = that is not known."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Times and bounds."""

    ttl_ms: int
    """How long a lease lives."""
    linger_ms: int
    """How long the lease of a closed connection lives: a page that is loaded anew, or an edge that
    is restarted, is back by then."""
    tell_every_ms: int
    """Who stays here is told again after this long: whoever hears nothing lets a presence lapse."""
    settle_ms: int
    """How long after a change the next one between online and away waits."""
    save_every_ms: int
    """What was last seen is given away to be kept no more often than this."""
    max_connections: int
    """More leases than this of one person: those that lapse first go."""


NOTHING = State()
"""Of whom nothing is known."""


def status_at(state: State, now_ms: int) -> Status:
    """The best of the leases that live."""
    return _best(lease for lease in state.leases.values() if lease.until_ms > now_ms)


def shown_at(state: State, now_ms: int, rules: Rules) -> Status:
    """What everybody is told by then: how it is, or a change that is still to settle not yet."""
    status = status_at(state, now_ms)
    settles_ms = _settles_ms(state, status, rules)
    if state.told is None or settles_ms is None:
        return status
    # What changed in the far future was noted by another clock: nothing waits for that. Some milliseconds are
    # another replica's that looked at the same clock later.
    waits = abs(now_ms - (settles_ms - rules.settle_ms)) < rules.settle_ms
    return state.told if waits else status


def report(state: State, reports: Iterable[Report], now_ms: int, rules: Rules) -> State:
    """The state after reports of one person's connections, in their order."""
    leases, seen_ms = dict(state.leases), state.seen_ms
    for each in reports:
        known = leases.pop(each.connection_id, None)
        if each.status is not Status.OFFLINE:
            until_ms = max(now_ms + rules.ttl_ms, known.until_ms if known else 0)
            leases[each.connection_id] = Lease(each.status, until_ms)
        elif known is not None:
            leases[each.connection_id] = Lease(known.status, min(known.until_ms, now_ms + rules.linger_ms))
        elif state.told is not None:
            continue  # closed before, or lapsed: no sign of life
        seen_ms = max(now_ms, seen_ms or 0)
    while len(leases) > rules.max_connections:
        del leases[min(leases, key=lambda name: leases[name].until_ms)]
    after = advance(replace(state, leases=leases, seen_ms=seen_ms), now_ms, rules)
    stays = after.told is state.told and after.told is not Status.OFFLINE
    # As there: what was told in the far future was told by another clock, and nothing is known of when.
    lately = after.told_ms is not None and abs(now_ms - after.told_ms) < rules.tell_every_ms
    return replace(after, told_ms=now_ms) if stays and not lately else after


def advance(state: State, now_ms: int, rules: Rules) -> State:
    """What time alone makes of a state: leases lapse, and what was last seen is given away to be kept."""
    leases = {name: lease for name, lease in state.leases.items() if lease.until_ms > now_ms}
    after = replace(state, leases=leases)
    save_at_ms = _save_at_ms(state, rules)
    if save_at_ms is not None and save_at_ms <= now_ms:
        after = replace(after, saved_ms=now_ms, kept_ms=state.seen_ms)
    told = shown_at(state, now_ms, rules)
    if told is not state.told:
        after = replace(after, told=told, told_ms=now_ms, changed_ms=now_ms)
    return after


def due_ms(state: State, rules: Rules) -> int | None:
    """When time alone will change the state (see `advance`); None = never."""
    if not state.leases:
        return _save_at_ms(state, rules)
    lapses_ms = min(lease.until_ms for lease in state.leases.values())
    settles_ms = _settles_ms(state, _best(state.leases.values()), rules)
    return lapses_ms if settles_ms is None else min(lapses_ms, settles_ms)


def announced(before: State, after: State) -> Status | None:
    """What has to be told because of a change; None = nothing."""
    return after.told if (after.told, after.told_ms) != (before.told, before.told_ms) else None


def to_save(before: State, after: State) -> int | None:
    """The last sign of life that has to be kept because of a change; None = nothing."""
    return after.kept_ms if after.kept_ms != before.kept_ms else None


def _save_at_ms(state: State, rules: Rules) -> int | None:
    """From when on `seen_ms` is to be given away; None = it has been."""
    if state.seen_ms is None or state.seen_ms == state.kept_ms:
        return None
    return 0 if state.saved_ms is None else state.saved_ms + rules.save_every_ms


def _best(leases: Iterable[Lease]) -> Status:
    statuses = {lease.status for lease in leases}
    if Status.ONLINE in statuses:
        return Status.ONLINE
    return Status.AWAY if statuses else Status.OFFLINE


def _settles_ms(state: State, status: Status, rules: Rules) -> int | None:
    """Until when a change to that status waits; None = there is none, or it never waits."""
    if state.changed_ms is None or state.told is status or Status.OFFLINE in (state.told, status):
        return None
    return state.changed_ms + rules.settle_ms
