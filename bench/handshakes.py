"""Handshakes of one edge in a closed loop: people who were never seen before, then the same ones again."""

from __future__ import annotations

from collections.abc import Sequence

from bench.crowd import crowd
from bench.figures import Figure
from bench.scenario import Row, Scenario
from bench.world import Cost, World
from deploy.local.packages import Say

AT_ONCE = 64
_AT_LEAST_PER_S = 1500
"""Handshakes that one edge has to do in a second, were it alone on a core: of its own CPU each."""


async def measure(world: World, say: Say, *, short: bool) -> list[Row]:
    """A row each: `new` (token unknown, profile written), then `again` (known to this edge)."""
    tokens = world.tokens("guest", 500 if short else 4000)
    rows: list[Row] = []
    async with crowd([world.system.edge_url], tokens) as people:
        for who in ("new", "again"):
            cost = Cost(world.roots())
            told = await people.do({"connect": AT_ONCE}, within_s=330)
            cpu_us = cost.per(told["handshakes"])
            row = {"who": who, "at_once": AT_ONCE, "per_s": round(told["handshakes"] / told["seconds"], 1)}
            rows.append({**row, **told, "cpu_us": cpu_us, "total_us": round(sum(cpu_us.values()))})
            say(f"handshakes: {rows[-1]}")
            await people.do({"drop": True}, within_s=30)
            await people.do({"rest": 1.0}, within_s=30)
    return rows


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Rates, latencies and costs."""
    found = []
    for row in rows:
        name = f"handshakes, {row['who']}"
        found += [
            Figure(f"{name}: caught up", row["per_s"], "/s"),
            Figure(f"{name}: from connecting to caught up, p50", row["handshake_ms"][0], "ms"),
            Figure(f"{name}: from connecting to caught up, p99", row["handshake_ms"][1], "ms"),
            Figure(f"{name}: CPU each, all processes", row["total_us"], "us"),
            *(Figure(f"{name}: CPU each, {process}", us, "us") for process, us in row["cpu_us"].items()),
            Figure(
                f"{name}: one edge on a core of its own",
                round(1e6 / row["cpu_us"]["edge_gateway"]),
                "/s",
                at_least=_AT_LEAST_PER_S,
            ),
        ]
    return found


SCENARIO = Scenario("handshakes", "sockets opened in a closed loop, at one edge", measure, figures)
