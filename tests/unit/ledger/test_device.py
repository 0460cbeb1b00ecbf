"""A device resumes only from what it has wholly loaded."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import aiohttp
from aiohttp import web

from deploy.local.ports import LOOPBACK
from tests.ledger.device import Device
from tests.ledger.journal import Follower, Journal
from tests.ledger.person import Edges, Reader
from tests.support.waiting import eventually


class Edge:
    """Closes the first socket in the midst of the load that its welcome causes, the second one after it."""

    def __init__(self, journal: Follower) -> None:
        self.cursors: list[str | None] = []
        self._journal = journal
        self._asked = asyncio.Event()
        self.over = asyncio.Event()

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        self.cursors.append(request.query.get("cursor"))
        number = len(self.cursors)
        socket = web.WebSocketResponse(protocols=("chat.v1",))
        await socket.prepare(request)
        await socket.send_json({"type": "system.welcome", "data": {"resumed": False, "watchList": []}})
        notice = {"type": "system.notice", "eventId": str(number), "cursor": f"{number}-0", "data": {}}
        await socket.send_json(notice)
        if number == 1:
            await self._asked.wait()
        else:
            await eventually(self._loaded, until=lambda count: count >= number - 1)
        await socket.close()
        return socket

    async def lists(self, _request: web.Request) -> web.Response:
        self._asked.set()
        if len(self.cursors) == 1:
            await self.over.wait()
        return web.json_response({"items": [], "nextCursor": None})

    async def _loaded(self) -> int:
        return self._journal.count("reloaded")


async def test_an_interrupted_load_is_not_resumed_from(tmp_path: Path) -> None:
    edge = Edge(Follower(tmp_path / "journal"))
    app = web.Application()
    app.add_routes([web.get("/ws/chat", edge.socket), web.get("/v1/conversations", edge.lists)])
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, 0)
    await site.start()
    url = f"http://{LOOPBACK}:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as http:
        device = Device(
            "ada/0",
            Reader(http, Edges([url]), "ada", "token"),
            Edges([url]),
            journal=Journal(tmp_path / "journal"),
            chance=random.Random(1),
        )
        device.settled.set()
        running = asyncio.create_task(device.run())

        async def connects() -> int:
            return len(edge.cursors)

        await eventually(connects, until=lambda count: count >= 3)
        running.cancel()
        await asyncio.wait([running])
    edge.over.set()
    await runner.cleanup()
    assert edge.cursors[:3] == [None, None, "2-0"]
