"""How much and how soon a client repeats."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from servicekit.retry import RetryBudget, backoff_seconds


@given(st.floats(0, 1), st.integers(0, 300))
def test_retries_never_exceed_the_burst_and_the_share_of_calls(ratio: float, calls: int) -> None:
    budget = RetryBudget(ratio, burst=10)
    retries = 0
    for _ in range(calls):
        budget.earn()
        while budget.spend():
            retries += 1
    assert retries <= 10 + ratio * calls + 1e-6


def test_what_was_not_spent_does_not_pile_up() -> None:
    budget = RetryBudget(1.0, burst=2)
    for _ in range(100):
        budget.earn()
    assert [budget.spend() for _ in range(3)] == [True, True, False]


@given(st.integers(1, 60))
def test_the_wait_doubles_up_to_a_second_with_jitter(attempt: int) -> None:
    ceiling = min(1.0, 0.05 * 2 ** (attempt - 1))
    assert ceiling / 2 <= backoff_seconds(attempt) <= ceiling
