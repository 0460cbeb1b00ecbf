"""Figures by name: what must hold, and how today's compare with those of another run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

TOLERANCE = 1.3
"""How many times the reference a figure may be before that is a regression."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number. `at_most` and `at_least` are what it must be."""

    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether it is what it must be; None when nothing is demanded."""
        if self.at_most is None and self.at_least is None:
            return None
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )

    @property
    def demand(self) -> str:
        """What it must be, in words; "" when nothing."""
        if self.at_most is not None:
            return f"at most {self.at_most:g}"
        return "" if self.at_least is None else f"at least {self.at_least:g}"


@dataclass(frozen=True, slots=True)
class Regression:
    """A cost that grew."""

    name: str
    times: float
    """As a multiple of what the reference would have cost on this machine."""


_RULERS = ("yardstick_us", "python_pace_ms")
"""Of libraries and system calls, and of Python alone (documents' `machine`)."""


def slower(machine: Mapping[str, Any], reference: Mapping[str, Any]) -> float:
    """How many times as long as `reference` a machine takes, by the ruler that says most.

    Each cost is another mixture of the two, and one processor may be thrice as fast for Python and not twice
    for system calls: whatever lies between both rulers may be the machine's doing. On one machine they agree.
    """
    return max(float(machine[ruler] / reference[ruler]) for ruler in _RULERS)


def regressions(
    found: Iterable[Figure],
    machine: Mapping[str, Any],
    reference: Mapping[str, Any],
    tolerance: float = TOLERANCE,
) -> list[Regression]:
    """Costs in CPU (`us`) beyond `tolerance` times those of `reference`, an earlier run's document.

    Only CPU is compared: rates and latencies are the machine's and its neighbours' as much as ours. A cost
    has grown when neither Python nor system calls, each taken for itself, have become as much slower.
    """
    before = {each["name"]: each["value"] for each in reference["figures"] if each["unit"] == "us"}
    expected = slower(machine, reference["machine"])
    grown = []
    for figure in found:
        if figure.unit == "us" and before.get(figure.name):
            times = figure.value / before[figure.name] / expected
            if times > tolerance:
                grown.append(Regression(figure.name, round(times, 2)))
    return grown
