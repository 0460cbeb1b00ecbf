"""The table of `make faults`: a row for each kind of fault."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tests.ledger.rounds import Round, percentile
from tests.ledger.violations import Column

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


def render_away(rounds: Mapping[str, Sequence[Round]]) -> str:
    """A line for each kind in which something stayed away."""
    lines = []
    for kind, played in rounds.items():
        before = [seconds for each in played for seconds in each.before_seconds]
        away = [seconds for each in played for seconds in each.away_seconds]
        if any(each.away for each in played):
            lines.append(
                f"{kind}: p99 of {len(before)} sends before {_p99(before)}, of {len(away)} meanwhile"
                f" {_p99(away)}; a backlog of {sum(each.backlog for each in played)} events,"
                f" {sum(each.effects for each in played)} effects of events,"
                f" {sum(each.mails for each in played)} mails"
            )
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
        _p99(s for each in rounds for s in each.send_seconds),
        f"{max((each.convergence for each in rounds), default=0.0):.1f} s",
    )


def _p99(seconds: Iterable[float]) -> str:
    return f"{percentile(list(seconds), 0.99) * 1000:.0f} ms"
