"""The table sums rounds up and counts each violation once, in its column."""

from __future__ import annotations

from tests.ledger.check import Column, Violation
from tests.ledger.rounds import Round
from tests.ledger.table import render


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
