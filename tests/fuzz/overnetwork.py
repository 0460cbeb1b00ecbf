"""Odd frames over sockets of a running edge, with odd payloads in its Redis, and people who talk beside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import orjson

from bench.world import Pair
from deploy.local.system import System
from tests.fuzz.catalogue import client_frames
from tests.fuzz.inprocess import ALLOWED_ERRORS
from tests.fuzz.neighbours import Neighbours
from tests.fuzz.odd import Odd
from tests.fuzz.payloads import bring
from tests.fuzz.report import Progress, Report, chance_of
from tests.fuzz.strangers import Stranger, storm_in

UNLIMITED = {"edge_gateway": {"RATE_FRAMES_USER": "off", "READ_DEBOUNCE_MS": "50"}}
"""So that frames are handled, not refused: what is too much is tested elsewhere."""
_EDGE = "edge_gateway"
_LOOK_EVERY_S = 0.2
_MISSED = frozenset({"stream_entry_unreadable", "stream_is_none"})


async def fuzz(
    system: System,
    redis_url: str,
    pairs: Sequence[Pair],
    frames: int,
    seed: int,
    say: Callable[[str], None],
) -> Report:
    """So many frames, at one edge, of all pairs but the first, who talk beside; what was seen."""
    report = Report(seed)
    neighbours = Neighbours(system.edge_url, pairs[0], report)
    strangers = []
    people = [(pair.sender, pair.sender_token, pair.conversation_id) for pair in pairs[1:]]
    people += [(pair.receiver, pair.receiver_token, pair.conversation_id) for pair in pairs[1:]]
    for number, (_, token, where) in enumerate(people):
        chance = chance_of(seed, f"stranger {number}")
        odd = Odd(chance, client_frames(chance, where))
        strangers.append(Stranger(system.edge_url, token, odd, report, chance))
    progress = Progress(report, frames, system.programs[_EDGE].running.pid, say)
    said: list[int] = []

    async def look() -> None:
        while True:
            progress.at(sum(said))
            await asyncio.sleep(_LOOK_EVERY_S)

    talking = asyncio.create_task(neighbours.run())
    beside = [
        asyncio.create_task(
            bring(redis_url, [user for user, _, _ in people], chance_of(seed, "payloads"), report)
        ),
        asyncio.create_task(look()),
    ]
    try:
        await storm_in(strangers, frames, said)
        neighbours.stop.set()
        await talking
    finally:
        talking.cancel()
        for each in beside:
            each.cancel()
        ended = await asyncio.gather(*beside, return_exceptions=True)
    for fault in ended:
        if isinstance(fault, Exception):
            report.note(f"beside: {fault!r}")
    progress.at(frames)
    progress.end()
    neighbours.judge()
    report.counts["frames"] = sum(said)
    if system.programs[_EDGE].running.exit_code() is not None:
        report.note("the edge has ended")
    look_through(system.read_log(_EDGE), report)
    return report


def look_through(log: str, report: Report) -> None:
    """Notes a traceback, and each error but that something brought could not be read."""
    for line in log.splitlines():
        if not line.startswith("{"):
            report.note(f"logged {line[:500]}")
            continue
        entry = orjson.loads(line)
        if entry["level"] in ("error", "critical"):
            report.counts[f"logged {entry['event']}"] += 1
            if entry["event"] not in ALLOWED_ERRORS | _MISSED or "exception" in entry:
                report.note(f"logged {line[:2000]}")
