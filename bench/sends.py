"""Sends through the whole stack: REST in, persisted, told to the other person's socket."""

from __future__ import annotations

from collections.abc import Sequence

from bench.figures import Figure
from bench.scenario import Row, Scenario
from bench.turn import turn
from bench.world import World, load
from deploy.local.packages import Say

PAIRS = (1, 32, 128)


async def measure(world: World, say: Say, *, short: bool) -> list[Row]:
    """One row for each number of pairs: the median run of three by rate."""
    rows = []
    for number in PAIRS:
        rows.append(await _measure(world, number, runs=1 if short else 3, measure_s=2.0 if short else 6.0))
        say(f"sends, {number} pairs: {rows[-1]}")
    return rows


async def _measure(world: World, number: int, *, runs: int, measure_s: float) -> Row:
    pairs = await world.pairs(number)
    configuration = {
        "edge_url": world.system.edge_url,
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
    found = []
    for row in rows:
        alone, name = row["pairs"] == 1, f"sends, {row['pairs']} pair{'s' * (row['pairs'] > 1)}"
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
            *(Figure(f"{name}: CPU a message, {each}", us, "us") for each, us in row["cpu_us"].items()),
        ]
    return found


SCENARIO = Scenario("sends", "pairs who talk, through the whole stack", measure, figures)
