"""Frames to many open sockets of one edge: a notice to everybody, and durable events to two people each."""

from __future__ import annotations

from collections.abc import Sequence

from bench.figures import Figure
from bench.scenario import Row, Scenario
from bench.turn import turn
from bench.world import World, load
from deploy.local.packages import Say

FEW, MANY = 1000, 5000
EVEN_FRAMES = 60_000
"""Notices' frames a second at an even load, whatever the number of sockets."""
EVEN_MESSAGES = 1500
"""Durable messages a second at an even load; each is two frames."""
_DURABLE_US = 25
_ON_THE_WAY = ("edge_gateway", "redis")
"""No frame passes through the others: what they do meanwhile, such as vacuum, is no cost of it."""
_KINDS = {"everybody": "a notice to everybody", "pairs": "durable, to two each"}


async def measure(world: World, say: Say, *, short: bool) -> list[Row]:
    """A row a phase: each kind at an even load, then as much as goes with some messages in flight."""
    few, many = (FEW // 10, MANY // 10) if short else (FEW, MANY)
    measure_s = 2.0 if short else 5.0
    tokens = world.tokens("listener", many)
    phases: list[Row] = []
    for sockets in (few, many):
        phases.append({"kind": "everybody", "sockets": sockets, "rate": EVEN_FRAMES / sockets})
        phases.append({"kind": "everybody", "sockets": sockets, "window": 4})
    phases.append({"kind": "pairs", "sockets": many, "rate": EVEN_MESSAGES})
    phases.append({"kind": "pairs", "sockets": many, "window": 64})
    configuration = {
        "edge_url": world.system.edge_url,
        "redis_url": world.redis_url,
        "people": [[f"listener-{number}", token] for number, token in enumerate(tokens)],
    }
    rows: list[Row] = []
    async with load("fanout", configuration) as program:
        for phase in phases:
            what = {**phase, "warm_s": 1.0, "measure_s": measure_s}
            rows.append({**phase, **await turn(program, what, world.roots(), unit="frames")})
            say(f"fanout: {rows[-1]}")
    return rows


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Costs, delays and rates; a frame is one that has arrived at one socket."""
    found = []
    for row in rows:
        load = "even load" if "rate" in row else f"{row['window']} in flight"
        name = f"fan-out, {_KINDS[row['kind']]}, {row['sockets']} sockets, {load}"
        costs = (
            Figure(f"{name}: CPU a frame, {process}", us, "us", _at_most(row, process))
            for process, us in row["cpu_us"].items()
            if process in _ON_THE_WAY
        )
        found += [
            Figure(f"{name}: frames", row["frames_per_s"], "/s"),
            Figure(f"{name}: from publish to arrival, p50", row["delay_ms"][0], "ms"),
            Figure(f"{name}: from publish to arrival, p99", row["delay_ms"][1], "ms"),
            *costs,
        ]
    return found


def _at_most(row: Row, process: str) -> float | None:
    """What a durable frame may cost the edge. A notice's is compared with peers, which are not here."""
    return _DURABLE_US if process == "edge_gateway" and row["kind"] == "pairs" else None


SCENARIO = Scenario("fanout", "frames to many open sockets of one edge", measure, figures)
