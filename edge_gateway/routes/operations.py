"""`/livez`, `/readyz`, `/metrics`: on the operations port only."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from edge_gateway.http.exchange import Exchange
from edge_gateway.http.front import Endpoint
from edge_gateway.http.reply import Reply
from edge_gateway.metrics import Metrics


def endpoints(metrics: Metrics, ready: Callable[[], dict[str, bool]]) -> list[tuple[str, str, Endpoint]]:
    """`ready` names what has to hold, and whether it does."""

    async def livez(_exchange: Exchange, _path: Mapping[str, str]) -> Reply:
        return Reply(200, b"ok", {"Content-Type": "text/plain; charset=utf-8"})

    async def readyz(_exchange: Exchange, _path: Mapping[str, str]) -> Reply:
        conditions = ready()
        status = 200 if all(conditions.values()) else 503
        return Reply(status, orjson.dumps(conditions), {"Content-Type": "application/json"})

    async def numbers(_exchange: Exchange, _path: Mapping[str, str]) -> Reply:
        body = generate_latest(metrics.registry)
        return Reply(200, body, {"Content-Type": CONTENT_TYPE_LATEST})

    return [("GET", "/livez", livez), ("GET", "/readyz", readyz), ("GET", "/metrics", numbers)]
