"""What an edge of its own process counts."""

from __future__ import annotations

import aiohttp


async def metric(ops_url: str, name: str) -> float:
    """A metric of the edge behind `ops_url`, its labels added up."""
    async with aiohttp.ClientSession() as http, http.get(f"{ops_url}/metrics") as response:
        lines = (await response.text()).splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))
