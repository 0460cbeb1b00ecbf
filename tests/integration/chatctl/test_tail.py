"""`tail` comes back, whatever it was that its connection was lost to."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from chatctl import rest, tail
from chatctl.running import Running


async def test_it_tries_again_when_a_token_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "TIMEOUT", aiohttp.ClientTimeout(total=5))
    monkeypatch.setattr(tail, "FIRST_DELAY_S", 0.01)
    tokens = 0

    async def token(_request: web.Request) -> web.Response:
        nonlocal tokens
        tokens += 1
        if tokens == 2:
            await asyncio.Event().wait()
        return web.json_response({"token": "of this test"})

    async def socket(request: web.Request) -> web.WebSocketResponse:
        """Welcomes and hangs up."""
        answer = web.WebSocketResponse(protocols=("chat.v1",))
        await answer.prepare(request)
        await answer.send_json({"type": "system.welcome"})
        await answer.close()
        return answer

    app = web.Application()
    app.router.add_post("/token", token)
    app.router.add_get("/ws/chat", socket)
    async with TestServer(app) as server:
        url = str(server.make_url("/")).rstrip("/")
        described = {"edgeUrl": url, "issuerUrl": url, "opsUrl": url, "keysDir": "", "targets": {}}
        running = Running.of({**described, "databaseUrls": {}, "redisUrl": "", "amqpUrl": ""})
        async with aclosing(tail.frames(running, {"userId": "ada"})) as arriving:
            for _ in range(2):
                frame = await asyncio.wait_for(anext(arriving), 60)
                assert frame["type"] == "system.welcome"
    assert tokens >= 3
