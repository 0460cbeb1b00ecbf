"""The table sums rounds up and counts each violation once, in its column."""

from __future__ import annotations

from tests.ledger.rounds import Round, slowed
from tests.ledger.table import render, render_away
from tests.ledger.violations import Column, Violation


def test_a_row_a_kind_and_one_for_all() -> None:
    fine = Round(attempted=10, acknowledged=9, in_doubt=2, send_seconds=[0.01] * 99 + [0.5], convergence=1.25)
    bad = Round(attempted=1, acknowledged=1, violations=[Violation("I1", Column.LOST, "x")], convergence=0.5)

    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in render({"edge": [fine, fine], "redis": [bad]}).splitlines()
    ]

    assert lines[0][:5] == ["kind", "rounds", "attempted", "acknowledged", "in doubt"]
    assert lines[2] == ["edge", "2", "20", "18", "4", "0", "0", "0", "0", "0", "500 ms", "1.2 s"]
    assert lines[3] == ["redis", "1", "1", "1", "0", "1", "0", "0", "0", "0", "0 ms", "0.5 s"]
    assert lines[4][:6] == ["all", "3", "21", "19", "4", "1"]


def test_sends_before_and_meanwhile_are_told_where_something_stayed_away() -> None:
    away = Round(before_seconds=[0.01], away_seconds=[0.02, 0.03], away=True, backlog=5, effects=7, mails=2)

    assert render_away({"edge": [Round(before_seconds=[1.0])], "rabbitmq_away": [away]}) == (
        "rabbitmq_away: p99 of 1 sends before 10 ms, of 2 meanwhile 30 ms; a backlog of 5 events,"
        " 7 effects of events, 2 mails"
    )


def test_sends_that_wait_for_what_is_away_are_told() -> None:
    assert slowed([0.1] * 100, [0.29] * 100) == []
    assert slowed([0.1] * 100, [0.31] * 100)
    assert slowed([], []) == []
