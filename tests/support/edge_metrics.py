"""What the edges of a running system count."""

from __future__ import annotations

import aiohttp

from deploy.local.system import System


async def metric(system: System, name: str) -> float:
    """A metric of all edges, and of all its labels, added up."""
    lines: list[str] = []
    async with aiohttp.ClientSession() as http:
        for edge in system.edges:
            async with http.get(f"{edge.ops_url}/metrics") as response:
                lines += (await response.text()).splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))
