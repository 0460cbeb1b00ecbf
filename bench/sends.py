"""Sends through the whole stack: REST in, persisted, told to the other person's socket.

Once with one process of each kind; once with an edge and a message_svc bound to each core, where half as much
gathers in each and no core is idle.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from bench.figures import Figure
from bench.scenario import Row, Scenario
from bench.turn import turn
from bench.world import World, load
from deploy.local.packages import Say

PAIRS = (1, 32, 128)
PAIRS_PER_CORE = (32, 128)
_REPLICA = re.compile(r"_\d+$")


async def measure(world: World, say: Say, *, short: bool) -> list[Row]:
    """One row for each number of pairs: the median run of three by rate."""
    return await _measure_all(world, say, PAIRS, short=short)


async def measure_per_core(world: World, say: Say, *, short: bool) -> list[Row]:
    """The same for several pairs."""
    return await _measure_all(world, say, PAIRS_PER_CORE, short=short)


async def _measure_all(world: World, say: Say, numbers: Sequence[int], *, short: bool) -> list[Row]:
    rows = []
    for number in numbers:
        rows.append(await _measure(world, number, runs=1 if short else 3, measure_s=2.0 if short else 6.0))
        say(f"sends, {number} pairs: {rows[-1]}")
    return rows


async def _measure(world: World, number: int, *, runs: int, measure_s: float) -> Row:
    pairs = await world.pairs(number)
    configuration = {
        "edge_urls": world.edge_urls,
        "pairs": [
            [f"/v1/conversations/{pair.conversation_id}/messages", pair.sender_token, pair.receiver_token]
            for pair in pairs
        ],
    }
    what = {"warm_s": 1.5, "measure_s": measure_s}
    found = []
    async with load("sends", configuration) as program:
        for _ in range(runs):
            row = await turn(program, what, world.roots(), unit="messages")
            # What comes after a message may lag behind; then its cost is not all in the figures.
            owed = await world.owed()
            total_us = round(sum(row["cpu_us"].values()))
            found.append({"pairs": number, **row, "total_us": total_us, "owed": owed})
    return sorted(found, key=lambda row: row["per_s"])[len(found) // 2]


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Rates, latencies and costs by number of pairs."""
    return _figures("sends", rows)


def figures_per_core(rows: Sequence[Row]) -> list[Figure]:
    """The same."""
    return _figures("sends on each core", rows)


def _figures(what: str, rows: Sequence[Row]) -> list[Figure]:
    found = []
    for row in rows:
        alone, name = row["pairs"] == 1, f"{what}, {row['pairs']} pair{'s' * (row['pairs'] > 1)}"
        found += [
            Figure(f"{name}: persisted and delivered", row["per_s"], "/s"),
            Figure(f"{name}: sent to acknowledged, p50", row["ack_ms"][0], "ms"),
            Figure(f"{name}: sent to acknowledged, p99", row["ack_ms"][1], "ms"),
            Figure(f"{name}: sent to delivered, p50", row["deliver_ms"][0], "ms", 6 if alone else None),
            Figure(f"{name}: sent to delivered, p99", row["deliver_ms"][1], "ms"),
            *(
                [Figure(f"{name}: sent to delivered, steady p99", row["deliver_steady_p99_ms"], "ms", 15)]
                if alone
                else []
            ),
            Figure(f"{name}: CPU a message, all processes", row["total_us"], "us"),
            *(Figure(f"{name}: CPU a message, {each}", us, "us") for each, us in _by_kind(row).items()),
        ]
    return found


def _by_kind(row: Row) -> dict[str, float]:
    """Microseconds of all processes of a kind: `edge_gateway_2` is one more edge."""
    found: Counter[str] = Counter()
    for name, us in row["cpu_us"].items():
        found[_REPLICA.sub("", name)] += us
    return {kind: round(us, 1) for kind, us in found.items()}


SCENARIO = Scenario("sends", "pairs who talk, through the whole stack", measure, figures)
PER_CORE = Scenario(
    "cores",
    "pairs who talk, an edge and a message_svc on each core",
    measure_per_core,
    figures_per_core,
    per_core=True,
)
