"""What a fuzzer has seen: counts, what must not be, and how its memory went."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.cpu import memory_bytes

MOST_GROWTH = 0.05
"""Of resident memory, after the warm-up."""
WARM_UP = 0.2
"""Of the frames: caches fill, and the allocator takes what it keeps."""
_SHOWN = 10
_EVERY_S = 10.0


@dataclass
class Report:
    """`wrong` is empty when everything that must hold held."""

    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    warm_bytes: int = 0
    end_bytes: int = 0
    seconds: float = 0.0

    def note(self, what: str) -> None:
        """Something that must not be; the first ten are kept in full."""
        self.counts["wrong"] += 1
        if len(self.wrong) < _SHOWN:
            self.wrong.append(what)

    @property
    def growth(self) -> float:
        """Of memory from the warm-up to the end, as a share."""
        return (self.end_bytes - self.warm_bytes) / self.warm_bytes if self.warm_bytes else 0.0

    def judge_memory(self) -> None:
        """Notes a growth that is too much."""
        if self.growth > MOST_GROWTH:
            self.note(f"memory grew from {_mb(self.warm_bytes)} to {_mb(self.end_bytes)}")

    def lines(self) -> list[str]:
        """For a person."""
        shown = ", ".join(f"{name} {number:,}" for name, number in sorted(self.counts.items()))
        memory = f"memory {_mb(self.warm_bytes)} warm, {_mb(self.end_bytes)} at the end ({self.growth:+.1%})"
        return [f"seed {self.seed}: {shown}; {memory}; {self.seconds:.0f} s", *self.wrong]


def _mb(size: int) -> str:
    return f"{size / 2**20:.1f} MB"


class Progress:
    """Tells how far it is, every ten seconds; measures the memory of `pid` at the warm-up and at the end."""

    def __init__(self, report: Report, wanted: int, pid: int, say: Callable[[str], None]) -> None:
        self._report = report
        self._wanted = wanted
        self._pid = pid
        self._say = say
        self._began = time.monotonic()
        self._next = self._began + _EVERY_S

    def at(self, frames: int) -> None:
        """So many are done."""
        if not self._report.warm_bytes and frames >= self._wanted * WARM_UP:
            self._report.warm_bytes = memory_bytes(self._pid)
        if time.monotonic() >= self._next:
            self._next += _EVERY_S
            self._say(f"seed {self._report.seed}: {frames:,} of {self._wanted:,} frames")

    def end(self) -> None:
        """All are done."""
        self._report.end_bytes = memory_bytes(self._pid)
        self._report.seconds = time.monotonic() - self._began
        self._report.judge_memory()


def chance_of(seed: int, name: str) -> random.Random:
    """Where the randomness of one fuzzer comes from: named, so that two with one seed differ."""
    return random.Random(f"{name}-{seed}")
