"""Which Python of this machine runs the services at the least cost.

Builds of one version differ by half: without profile-guided optimisation, as pyenv makes them unless told
otherwise, a message costs the services a quarter more CPU than with a distribution's own.

Run by `bootstrap.sh` with the first Python it finds, before anything is installed: `pace.py PYTHON…` prints
the one to take, `pace.py` what this one needs for a fixed piece of work and where it is; fails if too old.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable

_ENOUGH = 0.75
"""Of the first one's time: what is not faster than that is no reason to take another than `python3`."""


class _Point:
    def __init__(self, x: int, where: dict[str, int]) -> None:
        self.x = x
        self.where = where

    def moved(self, by: int) -> int:
        return self.x + by


def pace_ms() -> float:
    """CPU ms of this Python for calls, attributes and allocations: the least of many; others only add."""
    return min(_once_ms() for _ in range(12))


def _once_ms() -> float:
    began, found = time.process_time(), {}
    for each in range(20_000):
        found[each % 100] = _Point(each, {"each": each}).moved(each)
    return (time.process_time() - began) * 1000


def choose(found: Iterable[tuple[float, str]]) -> str:
    """The first of (ms, path), unless another is faster by a quarter. At least one."""
    best_ms, best = None, ""
    for ms, path in found:
        if best_ms is None or ms < best_ms * _ENOUGH:
            best_ms, best = ms, path
    return best


def _measured(candidates: Iterable[str]) -> Iterable[tuple[float, str]]:
    for candidate in dict.fromkeys(candidates):
        told = subprocess.run(  # noqa: S603 - found on the caller's own PATH
            [candidate, __file__], capture_output=True, text=True, check=False
        )
        ms, _, path = told.stdout.strip().partition(" ")
        if told.returncode == 0 and path:
            yield float(ms), path


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - run by whatever there is
        return 1
    if len(sys.argv) > 1:
        print(choose([(pace_ms(), sys.executable), *_measured(sys.argv[1:])]))
    else:
        print(f"{pace_ms():.2f} {sys.executable}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
