"""`/openapi.json`, `/asyncapi.json` and `/docs`: the public contract, for machines and for people."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import yaml

from edge_gateway import problems
from edge_gateway.http.exchange import Exchange
from edge_gateway.http.front import Endpoint
from edge_gateway.http.reply import Reply

_FOLDER = Path(__file__).parent.parent
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color-scheme:light dark}table{border-collapse:collapse;width:100%}"
    "td,th{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #8884}"
    "code{font-family:ui-monospace,monospace}"
)


def load(name: str) -> dict[str, Any]:
    """One of the two YAML documents, its references to the other as they are served."""
    text = (_FOLDER / name).read_text(encoding="utf-8").replace("openapi.yaml#", "openapi.json#")
    document = yaml.safe_load(text)
    if not isinstance(document, dict):
        raise TypeError(f"{name} is not an object")
    return document


def endpoints() -> list[tuple[str, str, Endpoint]]:
    """The three documents, made once."""
    openapi, asyncapi = load("openapi.yaml"), load("asyncapi.yaml")
    page = human_page(openapi, asyncapi)
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; frame-ancestors 'none'"
    return [
        ("GET", "/openapi.json", document(orjson.dumps(openapi), "application/json")),
        ("GET", "/asyncapi.json", document(orjson.dumps(asyncapi), "application/json")),
        ("GET", "/docs", document(page, "text/html; charset=utf-8", {"Content-Security-Policy": policy})),
    ]


def document(body: bytes, content_type: str, headers: Mapping[str, str] | None = None) -> Endpoint:
    """An endpoint that always answers the same bytes, or 304 to those who have them."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    common = {
        "Content-Type": content_type,
        "ETag": etag,
        "Cache-Control": "no-cache",
        "X-Content-Type-Options": "nosniff",
        **(headers or {}),
    }

    async def answer(exchange: Exchange, _path: Mapping[str, str]) -> Reply:
        if exchange.request.headers.get("If-None-Match") == etag:
            return Reply(304, headers={"ETag": etag})
        return Reply(200, body, {**common})

    return answer


def human_page(openapi: Mapping[str, Any], asyncapi: Mapping[str, Any]) -> bytes:
    """One page: routes, frames, error codes (each a target of a problem's `type`)."""
    routes = [
        (f"<code>{method.upper()} {_text(path)}</code>", _text(operation["summary"]))
        for path, item in openapi["paths"].items()
        for method, operation in item.items()
        if method in ("get", "post", "put", "patch", "delete")
    ]
    frames = [
        (f"<code>{_text(message['name'])}</code>", _text(message["summary"]))
        for message in asyncapi["components"]["messages"].values()
    ]
    codes = [
        (f'<code id="{code}">{code}</code>', f"{status} · {_text(detail)}")
        for code, (status, _title, detail) in problems.TEXTS.items()
    ]
    body = "".join(
        [
            f"<h1>{_text(openapi['info']['title'])}</h1><p>{_text(openapi['info']['summary'])} In full: ",
            '<a href="/openapi.json">openapi.json</a>, <a href="/asyncapi.json">asyncapi.json</a>.</p>',
            _table("REST", ("Route", "Does"), routes),
            _table("WebSocket <code>/ws/chat</code>", ("Frame", "Says"), frames),
            _table("Errors", ("Code", "Status and meaning"), codes),
        ]
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{_text(openapi['info']['title'])}</title><style>{_STYLE}</style><body>{body}</body></html>"
    ).encode()


def _table(title: str, heads: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    cells = "".join(f"<tr><td>{left}</td><td>{right}</td></tr>" for left, right in rows)
    return f"<h2>{title}</h2><table><tr>{head}</tr>{cells}</table>"


def _text(value: object) -> str:
    return html.escape(str(value))
