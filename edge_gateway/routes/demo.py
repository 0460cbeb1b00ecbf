"""`/demo/`: the demonstration page, when the settings allow it. Its files are read once, at the start."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from pathlib import Path

import orjson

from edge_gateway.http.exchange import Exchange
from edge_gateway.http.front import Endpoint
from edge_gateway.http.reply import Reply
from edge_gateway.routes.documents import document

FOLDER = Path(__file__).parent.parent / "demo"


def endpoints(issuer_url: str, folder: Path = FOLDER) -> list[tuple[str, str, Endpoint]]:
    """The page, its files and `/demo/config.json` (where it gets its tokens)."""
    connect = f"'self' {issuer_url}".strip()
    headers = {
        "Content-Security-Policy": (
            f"default-src 'self'; connect-src {connect}; img-src 'self' data: https:; object-src 'none'; "
            "base-uri 'none'; frame-ancestors 'none'"
        ),
        "Referrer-Policy": "no-referrer",
    }
    config = orjson.dumps({"issuerUrl": issuer_url})
    routes = [
        ("GET", "/", _to_folder),
        ("GET", "/demo", _to_folder),
        ("GET", "/demo/config.json", document(config, "application/json")),
    ]
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            answer = document(path.read_bytes(), _content_type(path), headers)
            name = path.relative_to(folder).as_posix()
            routes.append(("GET", f"/demo/{name}", answer))
            if name == "index.html":
                routes.append(("GET", "/demo/", answer))
    return routes


async def _to_folder(_exchange: Exchange, _path: Mapping[str, str]) -> Reply:
    # Not 308, which browsers keep: another program may have this port tomorrow.
    return Reply(307, headers={"Location": "/demo/"})


def _content_type(path: Path) -> str:
    guessed = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    text = guessed.startswith("text/") or guessed in ("application/javascript", "application/json")
    return f"{guessed}; charset=utf-8" if text else guessed
