"""`make fuzz`: FRAMES (10,000,000) odd frames in this code, on all cores, then SOCKET_FRAMES (500,000) over
real sockets of a running edge. SEED repeats a run.

Exit status 1 when something was not as it must be: a traceback, an answer or close code that is none of the
contract's, memory that grew by more than a twentieth, a neighbour's message that did not arrive.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

from bench.world import running
from deploy.local.errors import LocalError
from deploy.local.folders import CHECKOUT
from deploy.local.signals import Signals, run_to_exit_code
from tests.fuzz.overnetwork import UNLIMITED, fuzz

_STRANGERS = 24


def say(text: str) -> None:
    """Progress and results, on stderr."""
    print(text, file=sys.stderr, flush=True)


async def in_process(frames: int, seed: int) -> bool:
    """A process a core; whether all was as it must be."""
    cores = min(os.cpu_count() or 1, max(1, frames // 10_000))
    say(f"──── {frames:,} frames in process, on {cores} cores, from seed {seed} ────")
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.fuzz.inprocess",
            str(frames // cores),
            str(seed + number),
            cwd=CHECKOUT,
        )
        for number in range(cores)
    ]
    try:
        return not any([await each.wait() for each in processes])
    finally:
        for each in processes:
            if each.returncode is None:
                each.kill()


async def over_sockets(frames: int, seed: int, signals: Signals) -> bool:
    """At one edge of a system of our own; whether all was as it must be."""
    say(f"──── {frames:,} frames over sockets, from seed {seed} ────")
    async with running(say, UNLIMITED) as world:
        pairs = await world.pairs(1 + _STRANGERS // 2)
        report = await fuzz(world.system, world.redis_url, pairs, frames, seed, say)
        signals.stopping()
    say("\n".join(report.lines()))
    return not report.wrong


async def main(signals: Signals) -> int:
    """Both, whatever comes of the first."""
    seed = _number("SEED", int(time.time()))
    frames, socket_frames = _number("FRAMES", 10_000_000), _number("SOCKET_FRAMES", 500_000)
    right = await in_process(frames, seed) if frames else True
    if socket_frames:
        right = await over_sockets(socket_frames, seed, signals) and right
    say("All was as it must be." if right else f"Something was not as it must be: SEED={seed} repeats it.")
    return 0 if right else 1


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise LocalError(f"{name} must be a number, not {text!r}.")
    return int(text)


if __name__ == "__main__":
    sys.exit(run_to_exit_code(main, say))
