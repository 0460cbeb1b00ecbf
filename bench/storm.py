"""A storm: everybody's connection is lost at once, and all come back by the SDK's rule."""

from __future__ import annotations

from collections.abc import Sequence

from bench.crowd import crowd
from bench.figures import Figure
from bench.scenario import Row, Scenario
from bench.world import Cost, World
from deploy.local.packages import Say

AT_ONCE = 64
_WITHIN_S = 120.0


async def measure(world: World, say: Say, *, short: bool) -> list[Row]:
    """Two rows, over two edges: all connections are reset; one edge is killed, its people go to the other.

    `seconds`: until the last is caught up. RuntimeError when anybody saw another refusal than 503.
    """
    number = 1000 if short else 10_000
    other = world.system.edges[1] if len(world.system.edges) > 1 else await world.system.add_edge()
    rows = []
    async with crowd([world.system.edge_url, other.url], world.tokens("crowd", number)) as people:
        await people.do({"connect": AT_ONCE}, within_s=330)
        for form in ("all reset", "an edge killed"):
            if form == "all reset":
                await people.do({"drop": True}, within_s=30)
            else:
                world.system.kill(other.program.name)
            cost = Cost({name: pid for name, pid in world.roots().items() if name != other.program.name})
            told = await people.do({"come_back": _WITHIN_S}, within_s=_WITHIN_S + 30)
            cpu_us = cost.per(told["handshakes"])
            rows.append({"form": form, "sockets": number, **told, "cpu_us": cpu_us})
            say(f"storm: {rows[-1]}")
            wrong = [why for why in told["seen"] if why.startswith("refused") and why != "refused 503"]
            if wrong:
                raise RuntimeError(f"somebody was {wrong}")
    await world.system.restart(other.program.name)
    return rows


def figures(rows: Sequence[Row]) -> list[Figure]:
    """How long until everybody is back."""
    return [
        Figure(
            f"storm, {row['form']}: {row['handshakes']} back and caught up", row["seconds"], "s", at_most=30
        )
        for row in rows
    ]


SCENARIO = Scenario("storm", "everybody's connection is lost at once, and all come back", measure, figures)
