"""`make faults`: ROUNDS (20) rounds of each of KINDS (all), and the table of what came of them.

Exit status 1 when a promise was not kept; the journals of such rounds stay in FAULTS_DIR (.cache/faults).
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

from deploy.local.errors import LocalError
from deploy.local.folders import CHECKOUT
from deploy.local.signals import Signals, run_to_exit_code
from tests.ledger.faults import KINDS
from tests.ledger.rounds import Round, play
from tests.ledger.table import render
from tests.ledger.world import running

SHOWN_VIOLATIONS = 10


def say(text: str) -> None:
    """Progress, on stderr: stdout has the table alone."""
    print(text, file=sys.stderr, flush=True)


async def main(_signals: Signals) -> int:
    """Plays all rounds, whatever comes of each, kind after kind."""
    count = _number("ROUNDS", 20)
    kinds = os.environ.get("KINDS", " ".join(KINDS)).replace(",", " ").split()
    unknown = set(kinds) - set(KINDS)
    if unknown:
        raise LocalError(f"KINDS has {', '.join(sorted(unknown))}: there are {', '.join(KINDS)}.")
    seed = _number("SEED", int(time.time()))
    say(f"SEED={seed}")
    played: dict[str, list[Round]] = {}
    async with running(say) as world:
        for kind in kinds:
            for number in range(count):
                began = time.monotonic()
                name = f"{kind.replace('_', '')}{number}"
                result = await play(world, KINDS[kind], name, seed + number)
                played.setdefault(kind, []).append(result)
                seconds = time.monotonic() - began
                say(f"{kind} {number + 1}/{count}: {result.acknowledged} acknowledged, {seconds:.1f} s")
                _tell(result)
    print(render(played), flush=True)
    return 1 if any(each.violations for rounds in played.values() for each in rounds) else 0


def _tell(result: Round) -> None:
    """Says what was violated and keeps the journal."""
    if not result.violations:
        result.journal.unlink()
        return
    kept = Path(os.environ.get("FAULTS_DIR", CHECKOUT / ".cache" / "faults"))
    kept.mkdir(parents=True, exist_ok=True)
    shutil.copy(result.journal, kept)
    say(f"  {len(result.violations)} violations; journal: {kept / result.journal.name}")
    for violation in result.violations[:SHOWN_VIOLATIONS]:
        say(f"  {violation.invariant} {violation.text[:1000]}")


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise LocalError(f"{name} must be a number, not {text!r}.")
    return int(text)


if __name__ == "__main__":
    sys.exit(run_to_exit_code(main, say))
