"""The table of `make faults`: a row for each kind of fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.ledger.check import Column
from tests.ledger.rounds import Round

_HEADER = (
    "kind",
    "rounds",
    "attempted",
    "acknowledged",
    "in doubt",
    *(column.value for column in Column),
    "p99 send",
    "slowest convergence",
)


def render(rounds: Mapping[str, Sequence[Round]]) -> str:
    """Markdown. Violations are counted; times are milliseconds for a send and seconds for convergence."""
    rows = [_HEADER, *(_row(kind, played) for kind, played in rounds.items())]
    if len(rounds) > 1:
        rows.append(_row("all", [each for played in rounds.values() for each in played]))
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _row(kind: str, rounds: Sequence[Round]) -> tuple[str, ...]:
    violations = [violation for each in rounds for violation in each.violations]
    return (
        kind,
        str(len(rounds)),
        str(sum(each.attempted for each in rounds)),
        str(sum(each.acknowledged for each in rounds)),
        str(sum(each.in_doubt for each in rounds)),
        *(str(sum(violation.column is column for violation in violations)) for column in Column),
        f"{_percentile([s for each in rounds for s in each.send_seconds], 0.99) * 1000:.0f} ms",
        f"{max((each.convergence for each in rounds), default=0.0):.1f} s",
    )


def _percentile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0
