"""Results as files: one document a run, under `bench/results/`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.figures import Figure

FOLDER = Path(__file__).with_name("results")
REFERENCE = FOLDER / "reference.json"
"""The run that others are compared with; a copy of one of the others."""


def document(
    machine: Mapping[str, Any], figures: Sequence[Figure], rows: Mapping[str, Any]
) -> dict[str, Any]:
    """`{machine, figures, rows}`; `rows` is all that each scenario found."""
    return {"machine": dict(machine), "figures": [asdict(each) for each in figures], "rows": dict(rows)}


def keep(found: Mapping[str, Any], folder: Path = FOLDER) -> Path:
    """Writes a run's document beside those of other runs; returns where."""
    machine = found["machine"]
    folder.mkdir(exist_ok=True)
    name = f"{machine['date']}-{machine['commit']}"
    path, number = folder / f"{name}.json", 1
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    return path


def load(path: Path) -> dict[str, Any]:
    """An earlier run's document."""
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def show(figures: Sequence[Figure]) -> None:
    """Prints the figures as a table."""
    table = Table("figure", "value", "unit", "must be", "", box=None)
    table.columns[1].justify = "right"
    for each in figures:
        verdict = {None: "", True: "yes", False: "[red]NO[/red]"}[each.holds]
        table.add_row(each.name, f"{each.value:,.6g}", each.unit, each.demand, verdict)
    Console(stderr=False, width=120).print(table)
