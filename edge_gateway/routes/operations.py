"""`/livez`, `/readyz`, `/metrics`: on the operations port only."""

from __future__ import annotations

from collections.abc import Callable

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from edge_gateway.http.exchange import Exchange
from edge_gateway.http.front import Endpoint
from edge_gateway.metrics import Metrics


def endpoints(metrics: Metrics, ready: Callable[[], dict[str, bool]]) -> list[tuple[str, str, Endpoint]]:
    """`ready` names what has to hold, and whether it does."""

    async def livez(_exchange: Exchange, _path: dict[str, str]) -> web.StreamResponse:
        return web.Response(text="ok")

    async def readyz(_exchange: Exchange, _path: dict[str, str]) -> web.StreamResponse:
        conditions = ready()
        return web.Response(
            status=200 if all(conditions.values()) else 503,
            body=orjson.dumps(conditions),
            content_type="application/json",
        )

    async def numbers(_exchange: Exchange, _path: dict[str, str]) -> web.StreamResponse:
        body = generate_latest(metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [("GET", "/livez", livez), ("GET", "/readyz", readyz), ("GET", "/metrics", numbers)]
