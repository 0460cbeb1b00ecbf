"""`@splits/chat-client` against the running product: its own tests, in node, which also end the edge."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest_asyncio
from aiohttp import web

from chatctl import access
from chatctl.running import Running
from deploy.local.folders import CHECKOUT
from deploy.local.ports import LOOPBACK
from deploy.local.system import System
from tests.support.system import bring_back

WEB = CHECKOUT / "web"


@pytest_asyncio.fixture(loop_scope="session")
async def control_url(system: System) -> AsyncIterator[str]:
    """Where tests in another process end and start the edge, and say who is not let in."""
    running = Running.of(system.describe())

    async def kill(_request: web.Request) -> web.Response:
        system.kill("edge_gateway")
        return web.Response()

    async def stop(_request: web.Request) -> web.Response:
        await system.terminate("edge_gateway")
        return web.Response()

    async def start(_request: web.Request) -> web.Response:
        await system.restart("edge_gateway")
        return web.Response()

    async def revoke(request: web.Request) -> web.Response:
        await access.revoke(running, request.query["userId"], "")
        return web.Response()

    async def ban(request: web.Request) -> web.Response:
        await access.ban(running, request.query["userId"], None)
        return web.Response()

    async def unban(request: web.Request) -> web.Response:
        await access.unban(running, request.query["userId"])
        return web.Response()

    app = web.Application()
    for name, handler in (("revoke", revoke), ("ban", ban), ("unban", unban)):
        app.router.add_post(f"/{name}", handler)
    app.router.add_post("/kill", kill)
    app.router.add_post("/stop", stop)
    app.router.add_post("/start", start)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0).start()
    yield f"http://{LOOPBACK}:{runner.addresses[0][1]}"
    await runner.cleanup()
    await bring_back(system, "edge_gateway")


async def test_the_client_and_the_edge_agree(system: System, control_url: str) -> None:
    environment = {
        **os.environ,
        "EDGE_URL": system.edge_url,
        "OTHER_EDGE_URL": system.edges[1].url,
        "ISSUER_URL": system.issuer_url,
        "CONTROL_URL": control_url,
    }
    assert await _run(str(CHECKOUT / "deploy/local/npm.sh"), str(WEB), env=environment) == 0
    code = await _run("npm", "run", "--silent", "-w", "@splits/chat-client", "test:edge", env=environment)
    assert code == 0


async def _run(*command: str, env: dict[str, str]) -> int:
    process = await asyncio.create_subprocess_exec(*command, cwd=WEB, env=env)
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
