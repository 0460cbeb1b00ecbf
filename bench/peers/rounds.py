"""Rounds of turns: what all comparisons with a peer have in common."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.figures import Figure
from bench.scenario import Row
from bench.turn import turn
from bench.world import Load
from deploy.local.errors import LocalError

HERE = "here"
_DEFAULT = 5

Value = Callable[[Row], float]


@dataclass(frozen=True, slots=True)
class Side:
    """The product, or a peer: who loads it, and its processes by name."""

    name: str
    program: Load
    roots: Mapping[str, int]


def number(*, short: bool) -> int:
    """How many rounds: ROUNDS (5). Raises LocalError when that is no number above zero."""
    given = os.environ.get("ROUNDS", "")
    if given and not (given.isdecimal() and int(given)):
        raise LocalError(f"ROUNDS={given!r} is no number above zero.")
    return 1 if short else int(given or _DEFAULT)


async def take_turns(sides: Sequence[Side], what: Mapping[str, Any], facts: Row, *, unit: str) -> list[Row]:
    """A row for each side: `who`, `facts`, what it found, and CPU in microseconds a `unit`: `cpu_us` of each
    of its own processes, `total_us` of them together, `beside_us` of all others, whom nobody loads meanwhile.
    """
    rows = []
    every = {name: pid for side in sides for name, pid in side.roots.items()}
    for side in sides:
        row = await turn(side.program, what, every, unit=unit)
        own = {name: us for name, us in row["cpu_us"].items() if name in side.roots}
        rows.append(
            {
                **facts,
                "who": side.name,
                **row,
                "cpu_us": own,
                "total_us": round(sum(own.values()), 1),
                "beside_us": round(sum(row["cpu_us"].values()) - sum(own.values()), 1),
            }
        )
    return rows


def described(row: Row) -> str:
    """CPU in a row, in words."""
    each = ", ".join(f"{name} {us:g}" for name, us in row["cpu_us"].items() if us >= 0.02 * row["total_us"])
    beside = f"load {row['load_us']:g}, the other side {row['beside_us']:g}"
    return f"CPU {row['total_us']:g} us ({each}); {beside}; elsewhere {row['elsewhere_cores']:g} cores"


def elsewhere(name: str, rows: Sequence[Row]) -> Figure:
    """What else the machine did: with much of it a comparison tells little."""
    return Figure(f"{name}: at work for others", mean(rows, lambda row: row["elsewhere_cores"]), "cores")


def mean(rows: Sequence[Row], value: Value) -> float:
    return round(statistics.fmean(map(value, rows)), 2)


def median(rows: Sequence[Row], value: Value) -> float:
    return round(statistics.median(map(value, rows)), 2)


def mean_ratio(ours: Sequence[Row], theirs: Sequence[Row], value: Value) -> float:
    """Of ours by theirs, round by round."""
    return round(statistics.fmean(_ratios(ours, theirs, value)), 3)


def median_ratio(ours: Sequence[Row], theirs: Sequence[Row], value: Value) -> float:
    """Of ours by theirs, round by round: one round that something else disturbed is not felt."""
    return round(statistics.median(_ratios(ours, theirs, value)), 3)


def _ratios(ours: Sequence[Row], theirs: Sequence[Row], value: Value) -> list[float]:
    by_round = {row["round"]: value(row) for row in theirs}
    return [value(row) / by_round[row["round"]] for row in ours]
