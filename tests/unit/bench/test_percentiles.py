"""Percentiles, and what of them belongs to the work itself."""

from __future__ import annotations

from bench.percentiles import percentile, steady, window_p99s


def test_percentiles() -> None:
    values = [float(value) for value in range(100)]
    assert percentile(values, 0.5) == 50.0
    assert percentile(values, 0.99) == 99.0
    assert percentile([], 0.5) == 0.0


def test_windows_that_something_else_disturbs_do_not_count() -> None:
    quiet, disturbed = [1.0] * 98 + [2.0] * 2, [1.0] * 97 + [15.0] * 3
    p99s = window_p99s(quiet + disturbed + disturbed + quiet + [99.0] * 50, 100)
    assert p99s == [2.0, 15.0, 15.0, 2.0]  # a window that is not whole is none
    assert steady(p99s) == 2.0


def test_what_slows_each_window_counts() -> None:
    assert steady(window_p99s(([1.0] * 97 + [15.0] * 3) * 8, 100)) == 15.0


def test_less_than_a_window_is_one() -> None:
    assert window_p99s([1.0, 3.0], 100) == [3.0]
    assert window_p99s([], 100) == [0.0]
