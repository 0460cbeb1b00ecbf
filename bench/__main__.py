"""`python -m bench [SCENARIO…]`: measures the whole product, says what holds, compares with the reference.

Exit code 1 when a scenario's work was not done right, a demand does not hold, or a cost grew.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any

from bench import machine, results, sends
from bench.figures import TOLERANCE, Figure, regressions
from bench.scenario import Scenario
from bench.world import running

SCENARIOS: dict[str, Scenario] = {each.name: each for each in (sends.SCENARIO,)}


def say(text: str) -> None:
    """Progress, for a person."""
    print(text, file=sys.stderr, flush=True)


async def measure(names: list[str], *, short: bool) -> tuple[list[Figure], dict[str, Any]]:
    """Runs the scenarios in turn, all on one system."""
    figures: list[Figure] = []
    rows: dict[str, Any] = {}
    async with running(say) as world:
        for name in names:
            say(f"\n──── {name}: {SCENARIOS[name].about} ────")
            rows[name] = await SCENARIOS[name].measure(world, say, short=short)
            figures += SCENARIOS[name].figures(rows[name])
    return figures, rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--short", action="store_true", help="less of everything; demands are not checked")
    parser.add_argument("--keep", action="store_true", help="write the run to bench/results/")
    parser.add_argument(
        "--tolerance", type=float, default=TOLERANCE, help="of a cost: %(default)s times the reference"
    )
    options = parser.parse_args()
    if unknown := set(options.scenarios) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    described = machine.describe()
    figures, rows = asyncio.run(measure(options.scenarios or list(SCENARIOS), short=options.short))
    results.show(figures)
    if options.keep:
        say(f"Written to {results.keep(results.document(described, figures, rows))}")
    failed = False
    if not options.short:
        missed = [each.name for each in figures if each.holds is False]
        failed = bool(missed)
        if missed:
            say(f"Not as it must be: {', '.join(missed)}")
    if results.REFERENCE.exists():
        yardstick = float(str(described["yardstick_us"]))
        for each in regressions(figures, yardstick, results.load(results.REFERENCE), options.tolerance):
            failed = True
            say(f"Costs {each.times} times what it did: {each.name}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
