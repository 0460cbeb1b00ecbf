"""`python -m tests.fuzz.inprocess FRAMES SEED`: odd frames and payloads, without a network. Exit code 1 when
something was not as it must be.

Of the frames, one in ten is a payload that Redis brought.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from typing import Any

import structlog

from edge_gateway.joins import Current
from edge_gateway.metrics import Metrics
from edge_gateway.sockets.hydration import Hydration
from servicekit.clock import SystemClock
from tests.fuzz.catalogue import client_frames
from tests.fuzz.channels import Bringer
from tests.fuzz.odd import Odd
from tests.fuzz.report import Progress, Report, chance_of
from tests.fuzz.rooms import Rooms, visit_paces
from tests.fuzz.visits import Visitors, visit

ALLOWED_ERRORS = frozenset(
    {
        "announcement_too_long",
        "announcement_unreadable",
        "event_unreadable",
        "presence_unreadable",
        "typing_unreadable",
    }
)
"""What may be logged as an error: that something which was brought cannot be read."""
_BROUGHT = 20


class _Log:
    """Counts what is logged, and finds what must not be."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def __call__(self, _logger: Any, method: str, event: structlog.typing.EventDict) -> str:
        name = str(event.get("event"))
        self._report.counts[f"logged {name}"] += 1
        if "exception" in event or (method in ("error", "critical") and name not in ALLOWED_ERRORS):
            self._report.note(f"logged {event}")
        raise structlog.DropEvent


async def _nothing(*_asked: object) -> Current:
    return Current({}, {})


async def fuzz(frames: int, seed: int) -> Report:
    """All of it; what was seen."""
    report = Report(seed, Counter())
    structlog.configure(processors=[_Log(report)], cache_logger_on_first_use=False)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: report.note(f"the event loop caught {context}"))
    chance = chance_of(seed, "frames")
    metrics, clock = Metrics(), SystemClock()
    rooms = Rooms(Hydration(_nothing, metrics, clock, patience_s=1.0), metrics)
    odd = Odd(chance, client_frames(chance))
    visitors = Visitors(rooms, report, chance)
    bringer = Bringer(report, chance_of(seed, "payloads"))
    progress = Progress(report, frames, os.getpid(), say)
    done = brought = 0
    while done < frames:
        came = visit(odd, chance)
        await visitors.let_in(came, paces=visit_paces(chance), stalled=chance.random() < 0.02)
        done += came.frames
        while brought < done // 10:
            await bringer.bring(_BROUGHT)
            brought += _BROUGHT
            done += _BROUGHT
        progress.at(done)
    progress.end()
    report.counts["frames"] = done - brought
    report.counts["payloads"] = brought
    return report


def say(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    frames, seed = int(arguments[0]), int(arguments[1])
    report = asyncio.run(fuzz(frames, seed))
    print("\n".join(report.lines()), flush=True)
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
