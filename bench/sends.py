"""Sends through the whole stack: REST in, persisted, told to the other person's socket."""

from __future__ import annotations

from typing import Any

from bench.world import Cost, World, load
from deploy.local.packages import Say

PAIRS = (1, 32, 128)


async def measure(world: World, say: Say, *, short: bool) -> list[dict[str, Any]]:
    """One row for each number of pairs: the median run of three by rate."""
    rows = []
    for number in PAIRS:
        rows.append(await _measure(world, number, runs=1 if short else 3, measure_s=2.0 if short else 6.0))
        say(f"sends, {number} pairs: {rows[-1]}")
    return rows


async def _measure(world: World, number: int, *, runs: int, measure_s: float) -> dict[str, Any]:
    pairs = await world.pairs(number)
    configuration = {
        "edge_url": world.system.edge_url,
        "pairs": [
            [f"/v1/conversations/{pair.conversation_id}/messages", pair.sender_token, pair.receiver_token]
            for pair in pairs
        ],
        "warm_s": 1.5,
        "measure_s": measure_s,
        "runs": runs,
    }
    found = []
    async with load("sends", configuration) as program:
        for _ in range(runs):
            await program.event("measuring", within_s=90)
            cost = Cost(world.roots())
            program.go_on()
            told = await program.event("measured", within_s=measure_s + 30)
            cpu_us = cost.per(told["messages"])
            program.go_on()
            found.append({"pairs": number, **told, "cpu_us": cpu_us, "total_us": round(sum(cpu_us.values()))})
        await program.event("done", within_s=30)
    return sorted(found, key=lambda row: row["per_s"])[len(found) // 2]
