"""An edge in this process, with real HTTP, gRPC and Redis around it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession

from edge_gateway.app import EdgeApp
from edge_gateway.settings import EdgeSettings
from edge_gateway.tokens.issuers import Issuer as KnownIssuer
from tests.support import contract
from tests.support.issuer import AUDIENCE, Issuer
from tests.support.keys import Keys
from tests.support.people import Reply
from tests.support.scripted import Scripted, serve_scripted
from tests.support.waiting import eventually

PAGE = "https://splits.example"


@dataclass
class Edge:
    """The running edge and what stands behind it."""

    app: EdgeApp
    around: Services

    @property
    def services(self) -> Scripted:
        return self.around.scripted

    @property
    def issuer(self) -> Issuer:
        return self.around.issuer

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.app.port}"

    @property
    def ops_url(self) -> str:
        return f"http://127.0.0.1:{self.app.ops_port}"

    def count(self, name: str, **labels: str) -> float:
        """One of its metrics."""
        return self.app.metrics.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def run_edge(keys: Keys, redis_url: str, issuer: Issuer, **settings: Any) -> AsyncIterator[Edge]:
    """An edge on ports of its own before scripted services; `settings` are fields of EdgeSettings."""
    async with serve_scripted(keys) as (scripted, target):
        services = Services(scripted, target, keys, redis_url, issuer)
        async with edge_before(services, settings) as edge:
            yield await serving(edge)


@asynccontextmanager
async def run_beside(edge: Edge, **settings: Any) -> AsyncIterator[Edge]:
    """One more edge before the same services: what somebody does at one, others see at the other."""
    async with edge_before(edge.around, settings) as other:
        yield await serving(other)


async def serving(edge: Edge) -> Edge:
    """The edge, once it serves."""

    async def ready() -> bool:
        return all(edge.app.ready().values())

    await eventually(ready)
    return edge


@dataclass(frozen=True)
class Services:
    """What an edge needs around it."""

    scripted: Scripted
    target: str
    keys: Keys
    redis_url: str
    issuer: Issuer


@asynccontextmanager
async def edge_before(services: Services, settings: Mapping[str, Any]) -> AsyncIterator[Edge]:
    """An edge that may not be ready yet."""
    values: dict[str, Any] = {
        "edge_port": 0,
        "ops_port": 0,
        "drain_seconds": 0,
        "read_debounce_ms": 200,
        "ws_close_timeout_ms": 500,
        "conversation_svc_target": services.target,
        "message_svc_target": services.target,
        "presence_svc_target": services.target,
        "redis_url": services.redis_url,
        "service_key_file": services.keys.key_file("edge_gateway"),
        "jwt_issuers": (KnownIssuer(issuer=services.issuer.url, audiences=(AUDIENCE,)),),
        "allowed_origins": (PAGE,),
        **settings,
    }
    app = EdgeApp(EdgeSettings(**values))
    await app.start()
    try:
        yield Edge(app, services)
    finally:
        await app.stop()


async def ask(
    http: ClientSession, edge: Edge, method: str, path: str, *, token: str | None = None, **options: Any
) -> Reply:
    """A request with a good token, unless another one (or "") is given."""
    headers = {**options.pop("headers", {})}
    given = edge.issuer.token() if token is None else token
    if given:
        headers["Authorization"] = f"Bearer {given}"
    async with http.request(method, f"{edge.url}{path}", headers=headers, **options) as response:
        return Reply(response.status, response.headers, await response.read())


def problem(reply: Reply) -> tuple[int, str]:
    """Status and code, of a problem that is as the contract has it."""
    assert reply.headers["Content-Type"] == "application/problem+json"
    contract.check_problem(reply.body)
    assert reply.body["status"] == reply.status
    assert reply.body["requestId"] == reply.headers["X-Request-Id"]
    return reply.status, reply.code


async def say_raw(edge: Edge, request: bytes) -> bytes:
    """What the server answers to any bytes: one head, and the body that it announces."""
    host, port = edge.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    async with asyncio.timeout(30):
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        body = await reader.readexactly(int(length[1])) if length else b""
    writer.close()
    return head + body
