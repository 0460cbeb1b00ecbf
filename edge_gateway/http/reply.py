"""An answer, and the bytes it is on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from time import time

from aiohttp import web

_BEGINNINGS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_WITHOUT_BODY = frozenset({101, 204, 304})


@dataclass(slots=True)
class Reply:
    """`headers` by their names, each once; what HTTP itself needs (length, date) is added on the way."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    def for_server(self) -> web.Response:
        """For the HTTP server, which has its own way to write it."""
        return web.Response(status=self.status, body=self.body or None, headers=self.headers)

    def on_the_wire(self, method: str, *, closes: bool) -> bytes:
        """All of it, as the HTTP server writes it too. `closes`: the connection ends with it."""
        headers, body = self.headers, self.body
        if self.status not in _WITHOUT_BODY and (body or method != "HEAD"):
            headers["Content-Length"] = str(len(body))
        headers["Date"] = _date(int(time()))
        if closes:
            headers["Connection"] = "close"
        return head(self.status, headers) + (b"" if method == "HEAD" else body)


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """The bytes of an answer's head."""
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    return f"{_BEGINNINGS[status]}{''.join(lines)}\r\n".encode()


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    """Of that Unix second: so long it is the same for all."""
    return formatdate(second, usegmt=True)
