"""What the HTTP server, to which doors leave what is not plain, does with those who do not read."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping

import pytest

from edge_gateway.http.exchange import Exchange
from edge_gateway.http.front import Front
from edge_gateway.http.reply import Reply
from edge_gateway.http.server import Bounds, HttpServer

_BOUNDS = Bounds(
    idle_s=0.2,
    linger_s=1,
    drain_s=1,
    max_header=1024,
    max_ahead=1024,
    max_body=1024,
    backlog=16,
)
_LITTLE = 4096


class _Client(asyncio.Protocol):
    def __init__(self) -> None:
        self.lost = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


@pytest.mark.parametrize(
    ("request_", "size"),
    [
        # More than the transport takes before it says so.
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 10_000_000),
        # Less than that: it is closed with the answer, which is never read.
        (b"GET / HTTP/1.0\r\nHost: x\r\n\r\n", 60_000),
    ],
    ids=["and is to say more", "and is to go"],
)
async def test_who_does_not_read_is_cut_off(request_: bytes, size: int) -> None:
    async def answer(exchange: Exchange, _path: Mapping[str, str]) -> Reply:
        transport = exchange.request.transport
        assert transport is not None
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LITTLE)
        return Reply(200, b"x" * size)

    server = HttpServer(Front([("GET", "/", answer)]), "127.0.0.1", 0, _BOUNDS)
    address = ("127.0.0.1", await server.start())
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LITTLE)
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(connection, address)
        transport, client = await loop.create_connection(_Client, sock=connection)
        transport.pause_reading()
        try:
            transport.write(request_)
            async with asyncio.timeout(10):
                while not client.lost.is_set():
                    await asyncio.sleep(0.02)
                    transport.write(b"?")  # who does not read hears of the end only when they say something
        finally:
            transport.abort()
            await server.stop()
