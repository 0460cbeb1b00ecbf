"""How much and how soon a client may repeat calls."""

import random


class RetryBudget:
    """A token bucket: a call earns `ratio` of a retry, a retry spends one, `burst` is the most it holds.

    A peer that fails every call thus sees at most 1 + ratio times the load, instead of a multiple of it.
    """

    def __init__(self, ratio: float, *, burst: float = 10.0) -> None:
        self._ratio = ratio
        self._burst = burst
        self._tokens = burst

    def earn(self) -> None:
        """Counts a call."""
        self._tokens = min(self._burst, self._tokens + self._ratio)

    def spend(self) -> bool:
        """Takes one retry; False when there is none left."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def backoff_seconds(attempt: int, *, first: float = 0.05, most: float = 1.0) -> float:
    """How long to wait after the failed `attempt` (1, 2, …): exponential, with full jitter above a half."""
    ceiling = min(most, first * 2.0 ** (attempt - 1))
    return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
