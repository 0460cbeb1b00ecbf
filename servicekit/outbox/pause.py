"""How long to leave a sink alone that failed: longer each time, at most ten seconds, with jitter."""

import random
import time

_FIRST_S = 0.5
_LONGEST_S = 10.0


class Pause:
    """The pauses after failures in a row."""

    def __init__(self) -> None:
        self._failures = 0
        self._until = 0.0

    def begin(self) -> int:
        """Note a failure; returns how many there were in a row."""
        self._failures += 1
        longest = min(_LONGEST_S, _FIRST_S * 2 ** min(self._failures - 1, 10))
        self._until = time.monotonic() + longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        return self._failures

    def end(self) -> bool:
        """Note a success; returns whether it ended a row of failures."""
        ended = self._failures > 0
        self._failures = 0
        self._until = 0.0
        return ended

    def holds(self) -> bool:
        """Whether the pause lasts."""
        return self.left() > 0

    def left(self) -> float:
        """Seconds to its end."""
        return max(0.0, self._until - time.monotonic())
