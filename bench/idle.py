"""What a socket costs that has nothing to do: memory of the edge, and its CPU for pings and leases."""

from __future__ import annotations

from collections.abc import Sequence

from bench import cpu
from bench.crowd import crowd
from bench.figures import Figure
from bench.scenario import Row, Scenario
from bench.world import Cost, World
from deploy.local.packages import Say

AT_ONCE = 64
_WARM = 100


async def measure(world: World, say: Say, *, short: bool) -> list[Row]:
    """One row: KB of the edge's resident memory a socket, beyond what it needs for the first hundred."""
    number, rest_s = (1000, 2.0) if short else (10_000, 30.0)
    await world.system.restart("edge_gateway")  # memory that others have left free would hide what is needed
    pid = world.system.programs["edge_gateway"].running.pid
    async with (
        crowd([world.system.edge_url], world.tokens("warm", _WARM)) as first,
        crowd([world.system.edge_url], world.tokens("idler", number)) as people,
    ):
        await first.do({"connect": AT_ONCE}, within_s=30)
        await first.do({"rest": 1.0}, within_s=30)  # what still follows from these is none of the others'
        before = cpu.memory_bytes(pid)
        await people.do({"connect": AT_ONCE}, within_s=330)
        await people.do({"rest": 1.0}, within_s=30)
        after = cpu.memory_bytes(pid)
        cost = Cost({"edge_gateway": pid})
        await people.do({"rest": rest_s}, within_s=rest_s + 30)
        used = cost.per(1).get("edge_gateway", 0.0) / 1e6
        row: Row = {
            "sockets": number,
            "kb_a_socket": round((after - before) / number / 1024, 1),
            "edge_cpu_percent": round(100 * used / cost.elapsed_s, 2),
        }
    say(f"idle: {row}")
    return [row]


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Memory and CPU of sockets that do nothing."""
    [row] = rows
    name = f"idle, {row['sockets']} sockets"
    return [
        Figure(f"{name}: memory of the edge a socket", row["kb_a_socket"], "KB", at_most=16),
        Figure(f"{name}: CPU of the edge", row["edge_cpu_percent"], "%"),
    ]


SCENARIO = Scenario("idle", "sockets that have nothing to do", measure, figures)
