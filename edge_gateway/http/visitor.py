"""A request that was read at the door: what is asked of one of the HTTP server's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp.http_parser import RawRequestMessage
from multidict import CIMultiDictProxy, MultiMapping
from yarl import URL

if TYPE_CHECKING:
    from edge_gateway.http.door import Door


class Visitor:
    """All of it is here: `body` is what it says, without any coding."""

    __slots__ = ("_door", "body", "headers", "method", "rel_url")

    def __init__(self, door: Door, message: RawRequestMessage, body: bytes) -> None:
        self._door = door
        self.method: str = message.method
        self.headers: CIMultiDictProxy[str] = message.headers
        self.rel_url: URL = message.url
        self.body = body

    @property
    def query(self) -> MultiMapping[str]:
        """What stands behind the question mark."""
        return self.rel_url.query

    @property
    def transport(self) -> asyncio.Transport | None:
        """None once the client is gone."""
        return self._door.transport

    def take_over(self) -> tuple[asyncio.Transport, bytes]:
        """The connection, and the bytes behind the head. Raises ConnectionResetError when nobody is there."""
        return self._door.take_over()
