"""Whether somebody is here: a pure state machine over their connections, time passed in.

Times are milliseconds since the epoch. A connection is a lease: it lapses when it is not reported again in
time. What everybody is told is the best of the leases that live; it is told when it differs from what was
told last, and again now and then while it stays, so a state and its successor say whether there is something
to tell.
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
    told_ms: int | None = None
    """When `told` was told last; None = that is not known."""


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
    save_every_ms: int
    """What was last seen is given away to be kept no more often than this."""
    max_connections: int
    """More leases than this of one person: those that lapse first go."""


NOTHING = State()
"""Of whom nothing is known."""


def status_at(state: State, now_ms: int) -> Status:
    """The best of the leases that live."""
    live = {lease.status for lease in state.leases.values() if lease.until_ms > now_ms}
    if Status.ONLINE in live:
        return Status.ONLINE
    return Status.AWAY if live else Status.OFFLINE


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
    after = advance(State(leases, seen_ms, state.told, state.saved_ms, state.told_ms), now_ms, rules)
    stays = after.told is state.told and after.told is not Status.OFFLINE
    if stays and (after.told_ms is None or now_ms - after.told_ms >= rules.tell_every_ms):
        return replace(after, told_ms=now_ms)
    return after


def advance(state: State, now_ms: int, rules: Rules) -> State:
    """What time alone makes of a state: leases lapse, and what was last seen is given away to be kept."""
    leases = {name: lease for name, lease in state.leases.items() if lease.until_ms > now_ms}
    save_at_ms = _save_at_ms(state, rules)
    saved_ms = state.saved_ms if save_at_ms is None or save_at_ms > now_ms else now_ms
    told = status_at(state, now_ms)
    told_ms = state.told_ms if told is state.told else now_ms
    return State(leases, state.seen_ms, told, saved_ms, told_ms)


def due_ms(state: State, rules: Rules) -> int | None:
    """When time alone will change the state (see `advance`); None = never."""
    if state.leases:
        return min(lease.until_ms for lease in state.leases.values())
    return _save_at_ms(state, rules)


def announced(before: State, after: State) -> Status | None:
    """What has to be told because of a change; None = nothing."""
    return after.told if (after.told, after.told_ms) != (before.told, before.told_ms) else None


def to_save(before: State, after: State) -> int | None:
    """The last sign of life that has to be kept because of a change; None = nothing."""
    return after.seen_ms if after.saved_ms != before.saved_ms else None


def _save_at_ms(state: State, rules: Rules) -> int | None:
    """From when on `seen_ms` is to be given away; None = it has been."""
    if state.seen_ms is None or (state.saved_ms is not None and state.saved_ms >= state.seen_ms):
        return None
    return 0 if state.saved_ms is None else state.saved_ms + rules.save_every_ms
