"""`python -m bench [SCENARIO…]`: measures the whole product, says what holds, compares with the reference.

Exit code 1 when a scenario's work was not done right, a demand does not hold, or a cost grew.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
from typing import Any

from bench import fanout, handshakes, idle, machine, pages, results, sends, storm
from bench.figures import TOLERANCE, Figure, regressions
from bench.peers import notices
from bench.peers import sends as peer_sends
from bench.scenario import Scenario
from bench.world import running
from deploy.local import packages
from deploy.local.signals import Signals, run_to_exit_code

SCENARIOS: dict[str, Scenario] = {
    each.name: each
    # Pages last: they leave ten million messages behind.
    for each in (
        sends.SCENARIO,
        sends.PER_CORE,
        fanout.SCENARIO,
        handshakes.SCENARIO,
        idle.SCENARIO,
        storm.SCENARIO,
        peer_sends.SCENARIO,
        notices.SCENARIO,
        pages.SCENARIO,
    )
}


_MOST_CORES = 8
"""That get an edge and a message_svc: each of these takes connections of one Postgres."""

_MOST_FILES = 65_536
"""Descriptors that a process may have open: each of many thousand sockets is one, at both ends."""


def allow_files() -> None:
    """Raises what a shell allows, often 1,024, for us and all that we start, as far as we may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def say(text: str) -> None:
    """Progress, for a person."""
    print(text, file=sys.stderr, flush=True)


async def measure(names: list[str], signals: Signals, *, short: bool) -> tuple[list[Figure], dict[str, Any]]:
    """Runs the scenarios in turn, all of one layout on one system."""
    figures: list[Figure] = []
    rows: dict[str, Any] = {}
    every_core = sorted(os.sched_getaffinity(0))[:_MOST_CORES]
    layouts = [
        (cores, [name for name in names if SCENARIOS[name].per_core is bool(cores)])
        for cores in ([], every_core)
    ]
    layouts = [(cores, chosen) for cores, chosen in layouts if chosen]
    for cores, chosen in layouts:
        async with running(say, cores=cores) as world:
            for name in chosen:
                say(f"\n──── {name}: {SCENARIOS[name].about} ────")
                rows[name] = await SCENARIOS[name].measure(world, say, short=short)
                figures += SCENARIOS[name].figures(rows[name])
            if chosen is layouts[-1][1]:
                signals.stopping()
            else:
                signals.hold()  # what was started is to be ended
        if chosen is not layouts[-1][1]:
            signals.release()
    return figures, rows


async def run(options: argparse.Namespace, signals: Signals) -> int:
    """Measures and judges; returns the exit code."""
    names = options.scenarios or [name for name, scenario in SCENARIOS.items() if not scenario.needs]
    await packages.ensure([need for name in names for need in SCENARIOS[name].needs], say=say)
    described = machine.describe()
    figures, rows = await measure(names, signals, short=options.short)
    results.show(figures)
    if options.keep:
        say(f"Written to {results.keep(results.document(described, figures, rows))}")
    if options.short:
        return 0
    found = [f"{each.name} is not {each.demand}" for each in figures if each.holds is False]
    if results.REFERENCE.exists():
        reference = results.load(results.REFERENCE)
        found += [
            f"{each.name} is {each.times} times what it was"
            for each in regressions(figures, described, reference, options.tolerance)
        ]
    for each in found:
        say(each)
    return int(bool(found))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "scenarios",
        nargs="*",
        metavar="SCENARIO",
        help=f"{', '.join(SCENARIOS)}; all but those that need a peer's packages when none is named",
    )
    parser.add_argument("--short", action="store_true", help="less of everything; only whether it works")
    parser.add_argument("--keep", action="store_true", help="write the run to bench/results/")
    parser.add_argument(
        "--tolerance", type=float, default=TOLERANCE, help="of a cost: %(default)s times the reference"
    )
    options = parser.parse_args()
    if unknown := set(options.scenarios) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    allow_files()
    return run_to_exit_code(lambda signals: run(options, signals), say)


if __name__ == "__main__":
    sys.exit(main())
