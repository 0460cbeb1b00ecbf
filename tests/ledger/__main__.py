"""`make faults`: ROUNDS (20) rounds of each of KINDS (all), and the table of what came of them.

Of `rabbitmq_away` AWAY_ROUNDS (1), in each of which RabbitMQ is away for AWAY_MINUTES (10).

Exit status 1 when a promise was not kept; the journals of such rounds stay in FAULTS_DIR (.cache/faults).
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
import traceback
from pathlib import Path

import asyncpg

from deploy.local.errors import LocalError
from deploy.local.folders import CHECKOUT
from deploy.local.signals import Signals, run_to_exit_code
from tests.ledger.faults import DEFAULT_AWAY_SECONDS, KINDS, Kind, rabbitmq_away
from tests.ledger.person import AWAY, NotAnsweredError
from tests.ledger.rounds import Round, play
from tests.ledger.table import render, render_away
from tests.ledger.violations import Column, Violation
from tests.ledger.world import World, running

SHOWN_VIOLATIONS = 10
_UNFINISHED = (
    AssertionError,
    LocalError,
    ExceptionGroup,
    NotAnsweredError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    *AWAY,
)


def say(text: str) -> None:
    """Progress, on stderr: stdout has the table alone."""
    print(text, file=sys.stderr, flush=True)


async def main(_signals: Signals) -> int:
    """Plays all rounds, whatever comes of each, kind after kind."""
    rounds, away_rounds = _number("ROUNDS", 20), _number("AWAY_ROUNDS", 1)
    away = rabbitmq_away(60 * _minutes("AWAY_MINUTES", DEFAULT_AWAY_SECONDS / 60))
    kinds = os.environ.get("KINDS", " ".join(KINDS)).replace(",", " ").split()
    unknown = set(kinds) - set(KINDS)
    if unknown:
        raise LocalError(f"KINDS has {', '.join(sorted(unknown))}: there are {', '.join(KINDS)}.")
    seed = _number("SEED", int(time.time()))
    say(f"SEED={seed}")
    played: dict[str, list[Round]] = {}
    try:
        async with running(say) as world:
            for kind in kinds:
                fault, count = (away, away_rounds) if kind == "rabbitmq_away" else (KINDS[kind], rounds)
                for number in range(count):
                    began = time.monotonic()
                    name = world.new_name(kind.replace("_", ""))
                    result = await _played(world, fault, name, seed + number)
                    played.setdefault(kind, []).append(result)
                    seconds = time.monotonic() - began
                    say(f"{kind} {number + 1}/{count}: {result.acknowledged} acknowledged, {seconds:.1f} s")
                    _tell(result)
    finally:
        print(render(played), flush=True)
        if any(each.away for results in played.values() for each in results):
            print(f"\n{render_away(played)}", flush=True)
    return 1 if any(each.violations for rounds in played.values() for each in rounds) else 0


async def _played(world: World, kind: Kind, name: str, seed: int) -> Round:
    """One that does not come to its end kept no promise; the others are played all the same."""
    try:
        return await play(world, kind, name, seed)
    except _UNFINISHED as error:
        say("".join(traceback.format_exception(error)))
        await world.mend()
        text = f"it did not come to its end: {error!r}"
        return Round(violations=[Violation("round", Column.OTHER, text)], journal=world.journal(name))


def _tell(result: Round) -> None:
    """Says what was violated and keeps the journal."""
    if not result.violations:
        result.journal.unlink()
        return
    if not result.journal.exists():
        return
    kept = Path(os.environ.get("FAULTS_DIR", CHECKOUT / ".cache" / "faults"))
    kept.mkdir(parents=True, exist_ok=True)
    shutil.copy(result.journal, kept)
    say(f"  {len(result.violations)} violations; journal: {kept / result.journal.name}")
    for violation in result.violations[:SHOWN_VIOLATIONS]:
        say(f"  {violation.invariant} {violation.text[:1000]}")


def _minutes(name: str, default: float) -> float:
    text = os.environ.get(name, str(default))
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        raise LocalError(f"{name} must be a number of minutes, not {text!r}.")
    return float(text)


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise LocalError(f"{name} must be a number, not {text!r}.")
    return int(text)


if __name__ == "__main__":
    sys.exit(run_to_exit_code(main, say))
