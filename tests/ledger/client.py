"""The load client, a process of its own: `python -m tests.ledger.client PLAN`.

PLAN is a file with the fields of `Plan` as JSON. A line `quiesce` on stdin ends the load: once every request
has its answer the journal says `quiet`. Devices stay connected until stdin ends, and the process with it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import aiohttp

from tests.ledger.load import Load, Plan


async def main(plan: Plan) -> None:
    """Loads until told to quiesce, stays until stdin ends."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http, asyncio.TaskGroup() as group:
        load = Load(plan, http)
        await load.set_up()
        connected = [group.create_task(device.run()) for device in load.devices]
        acting = [group.create_task(act()) for act in load.everybody_acts()]
        if await lines.readline() == b"quiesce\n":
            load.end()
            await asyncio.wait(acting)
            load.quiet()
            await lines.read()
        for task in (*connected, *acting):
            task.cancel()


if __name__ == "__main__":
    asyncio.run(main(Plan(**json.loads(Path(sys.argv[1]).read_text()))))
