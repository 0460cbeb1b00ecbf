"""Whether somebody is here, as a pure function of reports and time."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presence_svc.domain import (
    NOTHING,
    Report,
    Rules,
    State,
    Status,
    advance,
    announced,
    due_ms,
    report,
    shown_at,
    status_at,
    to_save,
)

RULES = Rules(
    ttl_ms=90_000,
    linger_ms=0,
    tell_every_ms=10**9,
    settle_ms=0,
    save_every_ms=60_000,
    max_connections=4,
)
ONLINE, AWAY, OFFLINE = Status.ONLINE, Status.AWAY, Status.OFFLINE
START = 1_800_000_000_000


def after(*steps: tuple[int, str, Status], state: State = NOTHING) -> State:
    """The state after reports (seconds since the start, connection, status) in their order."""
    for seconds, connection, status in steps:
        state = report(state, [Report(connection, status)], START + seconds * 1000, RULES)
    return state


def later(state: State, seconds: float) -> State:
    return advance(state, START + int(seconds * 1000), RULES)


def test_nobody_is_here_before_they_come() -> None:
    assert status_at(NOTHING, START) is OFFLINE
    assert due_ms(NOTHING, RULES) is None


@pytest.mark.parametrize(
    ("devices", "best"),
    [([ONLINE], ONLINE), ([AWAY], AWAY), ([AWAY, ONLINE], ONLINE), ([AWAY, AWAY], AWAY), ([], OFFLINE)],
)
def test_somebody_is_as_present_as_their_best_device(devices: list[Status], best: Status) -> None:
    state = after(*((0, str(number), status) for number, status in enumerate(devices)))
    assert status_at(state, START) is best


def test_a_second_device_is_told_only_when_it_changes_what_is_seen() -> None:
    one = after((0, "phone", AWAY))
    two = after((1, "laptop", ONLINE), state=one)
    three = after((2, "tablet", ONLINE), state=two)
    assert [announced(NOTHING, one), announced(one, two), announced(two, three)] == [AWAY, ONLINE, None]
    assert announced(three, after((3, "laptop", OFFLINE), state=three)) is None
    assert announced(three, after((3, "laptop", OFFLINE), (4, "tablet", OFFLINE), state=three)) is AWAY


def test_a_repeated_report_tells_nothing_again() -> None:
    once = after((0, "phone", ONLINE))
    twice = after((0, "phone", ONLINE), state=once)
    assert twice == once
    closed = after((1, "phone", OFFLINE), state=once)
    assert announced(once, closed) is OFFLINE
    assert after((9, "phone", OFFLINE), state=closed) == closed


def test_the_close_of_a_connection_that_nobody_knows_changes_nothing() -> None:
    state = after((0, "phone", ONLINE))
    assert after((5, "laptop", OFFLINE), state=state) == state


def test_who_closes_after_everything_was_forgotten_is_told_to_be_gone() -> None:
    state = after((0, "phone", OFFLINE))
    assert announced(NOTHING, state) is OFFLINE
    assert state.seen_ms == START


def test_who_comes_back_at_once_was_never_gone() -> None:
    """A page that is loaded anew: its first socket closes before the second one opens."""
    rules = replace(RULES, linger_ms=3000)
    here = report(NOTHING, [Report("first", ONLINE)], START, rules)
    closed = report(here, [Report("first", OFFLINE)], START + 10_000, rules)
    assert announced(here, closed) is None
    assert due_ms(closed, rules) == START + 13_000
    back = report(closed, [Report("second", ONLINE)], START + 11_000, rules)
    assert announced(closed, back) is None
    assert announced(back, advance(back, START + 13_000, rules)) is None
    gone = advance(closed, START + 13_000, rules)
    assert announced(closed, gone) is OFFLINE
    assert gone.seen_ms == START + 10_000


def test_who_stays_is_told_again_before_anybody_takes_them_for_gone() -> None:
    rules = replace(RULES, tell_every_ms=45_000)
    state, told = NOTHING, []
    for seconds in range(0, 181, 20):  # renewals, one every 20 seconds
        after_it = report(state, [Report("phone", AWAY)], START + seconds * 1000, rules)
        told += [(seconds, status) for status in [announced(state, after_it)] if status]
        state = after_it
    assert told == [(0, AWAY), (60, AWAY), (120, AWAY), (180, AWAY)]


def test_who_is_gone_is_told_once() -> None:
    rules = replace(RULES, tell_every_ms=45_000)
    gone = report(NOTHING, [Report("phone", OFFLINE)], START, rules)
    again = report(gone, [Report("phone", OFFLINE)], START + 60_000, rules)
    assert announced(gone, again) is None
    assert announced(gone, advance(gone, START + 60_000, rules)) is None


def test_a_close_that_is_said_again_keeps_nobody_here_for_longer() -> None:
    rules = replace(RULES, linger_ms=3000)
    state = report(NOTHING, [Report("phone", AWAY)], START, rules)
    for seconds in (1, 2, 3):
        state = report(state, [Report("phone", OFFLINE)], START + seconds * 1000, rules)
    assert due_ms(state, rules) == START + 4000


def test_a_lease_that_is_not_renewed_lapses_and_is_told_once() -> None:
    state = after((0, "phone", ONLINE))
    assert due_ms(state, RULES) == START + 90_000
    assert status_at(state, START + 89_999) is ONLINE
    assert status_at(state, START + 90_000) is OFFLINE  # who asks before the sweep is told the truth
    assert later(state, 89.999) == state
    gone = later(state, 90)
    assert announced(state, gone) is OFFLINE
    assert gone.seen_ms == START
    assert later(gone, 91) == gone


def test_a_renewal_keeps_a_device_here() -> None:
    state = after((0, "phone", ONLINE), (60, "phone", ONLINE))
    assert later(state, 149) == state
    assert announced(state, later(state, 150)) is OFFLINE


def test_a_lease_never_grows_shorter() -> None:
    state = after((10, "phone", ONLINE), (5, "phone", AWAY))
    assert due_ms(state, RULES) == START + 100_000
    assert state.seen_ms == START + 10_000


def test_the_connections_that_lapse_first_make_room() -> None:
    state = after(*((number, str(number), ONLINE) for number in range(6)))
    assert set(state.leases) == {"2", "3", "4", "5"}


def test_of_several_reports_at_once_the_last_one_holds() -> None:
    reports = [
        Report("phone", ONLINE),
        Report("phone", AWAY),
        Report("phone", OFFLINE),
        Report("phone", AWAY),
    ]
    assert status_at(report(NOTHING, reports, START, RULES), START) is AWAY


def test_the_last_sign_of_life_is_given_away_at_once_and_then_once_a_minute() -> None:
    first = after((0, "phone", ONLINE))
    assert to_save(NOTHING, first) == START
    second = after((59, "phone", ONLINE), state=first)
    assert to_save(first, second) is None
    third = after((60, "phone", ONLINE), state=second)
    assert to_save(second, third) == START + 60_000


def test_the_very_last_sign_of_life_is_given_away_though_nothing_comes_after_it() -> None:
    first = after((0, "phone", ONLINE))
    closed = after((20, "phone", OFFLINE), state=first)
    assert to_save(first, closed) is None
    assert due_ms(closed, RULES) == START + 60_000
    saved = later(closed, 60)
    assert to_save(closed, saved) == START + 20_000
    assert announced(closed, saved) is None
    assert due_ms(saved, RULES) is None


def test_a_sign_of_life_in_the_millisecond_of_a_save_is_given_away_too() -> None:
    closed = after((0, "phone", ONLINE), (20, "phone", OFFLINE))
    saved = later(closed, 60)
    assert to_save(closed, saved) == START + 20_000
    back = after((60, "phone", ONLINE), state=saved)
    gone = later(back, 150)
    assert to_save(saved, back) is None
    assert to_save(back, gone) == START + 60_000


def test_who_goes_away_and_comes_back_is_told_of_once_it_has_settled() -> None:
    rules = replace(RULES, settle_ms=5000)
    state, told = NOTHING, []
    for seconds, status in [(0, ONLINE), (1, AWAY), (2, ONLINE), (3, AWAY), (9, ONLINE), (10, AWAY)]:
        now = START + seconds * 1000
        if seconds == 9:
            assert due_ms(state, rules) == START + 5000
            before, state = state, advance(state, START + 5000, rules)
            told.append((5, announced(before, state)))
            assert due_ms(state, rules) == START + 93_000
        before, state = state, report(state, [Report("phone", status)], now, rules)
        told.append((seconds, announced(before, state)))
    assert [each for each in told if each[1]] == [(0, ONLINE), (5, AWAY)]
    assert due_ms(state, rules) == START + 100_000  # away, as it was told: nothing is left to tell


def test_who_comes_and_who_goes_is_told_at_once_however_much_changed_before() -> None:
    rules = replace(RULES, settle_ms=5000)
    state, told = NOTHING, []
    for passed, status in enumerate([ONLINE, AWAY, OFFLINE, AWAY, OFFLINE, ONLINE]):
        before, state = state, report(state, [Report("phone", status)], START + passed, rules)
        told.append(announced(before, state))
    assert told == [ONLINE, None, OFFLINE, AWAY, OFFLINE, ONLINE]


def test_nothing_waits_for_a_change_that_another_clock_puts_in_the_future() -> None:
    rules = replace(RULES, settle_ms=5000)
    here = report(NOTHING, [Report("phone", ONLINE)], START + 3_600_000, rules)
    away = report(here, [Report("phone", AWAY)], START, rules)
    assert announced(here, away) is AWAY


def test_who_stays_is_told_again_though_another_clock_told_it_in_the_future() -> None:
    rules = replace(RULES, tell_every_ms=45_000)
    here = report(NOTHING, [Report("phone", ONLINE)], START + 3_600_000, rules)
    back = report(here, [Report("phone", ONLINE)], START, rules)
    assert announced(here, back) is ONLINE
    assert announced(back, report(back, [Report("phone", ONLINE)], START + 20_000, rules)) is None


def test_who_was_told_of_by_a_replica_that_looked_later_is_not_told_of_twice() -> None:
    rules = replace(RULES, tell_every_ms=45_000)
    here = report(NOTHING, [Report("phone", ONLINE)], START + 3, rules)
    assert announced(here, report(here, [Report("laptop", ONLINE)], START, rules)) is None


# What may happen: some time passes, and then somebody reports, or nobody does.
connections = st.sampled_from(["a", "b", "c", "d", "e", "f"])
steps = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 3_000), st.integers(0, 200_000)),
        st.lists(st.builds(Report, connections, st.sampled_from(Status)), max_size=4),
    ),
    max_size=12,
)


@given(steps)
def test_what_is_told_is_always_what_is_so(story: list[tuple[int, list[Report]]]) -> None:
    roomy = replace(RULES, max_connections=100)
    state, now, last = NOTHING, START, None
    model: dict[str, tuple[Status, int]] = {}  # each connection's last report and when it was
    for passes, reports in story:
        now += passes
        before, state = state, report(state, reports, now, roomy)
        for each in reports:
            model[each.connection_id] = (each.status, now)
        live = {status for status, at in model.values() if at + roomy.ttl_ms > now} - {OFFLINE}
        expected = ONLINE if ONLINE in live else AWAY if live else OFFLINE
        assert state.told is expected is status_at(state, now)
        told = announced(before, state)
        assert told is None or told is not last, "the same is told twice"
        last = told or last
        assert last is expected or (last is None and expected is OFFLINE)


@given(steps, st.sampled_from([1, 700, 5000, 100_000]), st.booleans())
def test_however_somebody_flaps_few_changes_are_told_and_the_last_one_is_never_lost(
    story: list[tuple[int, list[Report]]], settle_ms: int, swept: bool
) -> None:
    rules = replace(RULES, settle_ms=settle_ms, linger_ms=300)
    state, now = NOTHING, START
    told: list[tuple[int, Status]] = []  # as who watches hears it

    def go_on(after: State, at: int) -> None:
        nonlocal state
        if (status := announced(state, after)) is not None:
            told.append((at, status))
        state = after
        seen, so = told[-1][1] if told else None, status_at(state, at)
        assert state.told in (seen, NOTHING.told)
        assert shown_at(state, at, rules) is (seen or OFFLINE), "who looks is shown what was told"
        if OFFLINE in (seen, so) or seen is None:
            assert (seen or OFFLINE) is so, "who comes and who goes is told at once"

    def sweep(until: int | None) -> None:
        while (due := due_ms(state, rules)) is not None and (until is None or due <= until):
            at = max(due, now)
            go_on(advance(state, at, rules), at)

    for passes, reports in story:
        if swept:
            sweep(now + passes)
        now += passes
        go_on(report(state, reports, now, rules), now)
        if state.told is not status_at(state, now):
            due = due_ms(state, rules)
            assert due is not None
            assert due <= told[-1][0] + settle_ms, "what waits is told in time"
    sweep(None)
    assert due_ms(state, rules) is None
    assert state.told is status_at(state, now + 10**9) or state == NOTHING
    for (earlier, one), (later, other) in pairwise(told):
        assert later - earlier >= settle_ms or OFFLINE in (one, other)
        assert one is not other


@given(steps)
def test_nothing_is_seen_backwards_kept_too_often_or_held_without_bound(
    story: list[tuple[int, list[Report]]],
) -> None:
    state, now = NOTHING, START
    saves: list[int] = []
    for passes, reports in story:
        now += passes
        before, state = state, report(state, reports, now, RULES)
        assert (state.seen_ms or 0) >= (before.seen_ms or 0)
        assert len(state.leases) <= RULES.max_connections
        if to_save(before, state) is not None:
            saves.append(now)
    assert all(later - earlier >= RULES.save_every_ms for earlier, later in pairwise(saves))


@given(steps)
def test_time_alone_changes_a_state_when_it_is_due_and_brings_it_to_rest(
    story: list[tuple[int, list[Report]]],
) -> None:
    state, now = NOTHING, START
    saved = None
    for passes, reports in story:
        now += passes
        before, state = state, report(state, reports, now, RULES)
        saved = to_save(before, state) or saved
    assert advance(state, now, RULES) == state or state == NOTHING
    told = []
    for _ in range(20):
        due = due_ms(state, RULES)
        if due is None:
            break
        assert due > now
        early = advance(state, due - 1, RULES)
        assert (early.leases, early.told) == (state.leases, state.told)
        before, state, now = state, advance(state, due, RULES), due
        assert state != before
        saved = to_save(before, state) or saved
        told += [status for status in [announced(before, state)] if status]
    assert due_ms(state, RULES) is None
    assert not state.leases
    assert saved == state.seen_ms, "the last sign of life is kept in the end"
    assert told.count(OFFLINE) <= 1
