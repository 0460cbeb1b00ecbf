"""Doors to connect to: what they lead to, and what comes back over a connection."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from edge_gateway.http.door import Door
from edge_gateway.http.reply import Reply
from edge_gateway.http.rooms import Answer, Rooms
from edge_gateway.http.visitor import Visitor

HANDSHAKE = b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


class _Echo(asyncio.Protocol):
    """The room for everything else: says what it hears."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert isinstance(self.transport, asyncio.Transport)
        self.transport.write(b"echo " + data)


Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@asynccontextmanager
async def door(answer: Answer, **times: float) -> AsyncIterator[tuple[Rooms, Connect]]:
    given: dict[str, Any] = {
        "max_field": 1000,
        "max_body": 100_000,
        "max_ahead": 64 * 1024,
        "idle_s": 60.0,
        "pieces_s": 60.0,
        **times,
    }
    rooms = Rooms("/ws", answer, _Echo, **given)
    server = await asyncio.get_running_loop().create_server(lambda: Door(rooms), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield rooms, lambda: asyncio.open_connection("127.0.0.1", port)
    finally:
        server.close()
        rooms.close_waiting()
        await rooms.close(0)


async def nobody(_visitor: Visitor) -> Reply | None:
    raise AssertionError("nobody was to come here")


async def named(visitor: Visitor) -> Reply | None:
    """Says what was asked."""
    return Reply(200, f"{visitor.method} {visitor.rel_url.raw_path} ".encode() + visitor.body)


def post(path: str, body: bytes, more: str = "") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


def reset(writer: asyncio.StreamWriter) -> None:
    """Ends the connection in both directions, so that its other end hears of it at once."""
    linger = struct.pack("ii", 1, 0)
    writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def end_of(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the connection ends."""
    async with asyncio.timeout(30):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


async def answer_of(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of the next answer."""
    async with asyncio.timeout(30):
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.split(b"Content-Length: ")[1].split(b"\r\n")[0] if b"Content-Length: " in head else b"0"
        return head, await reader.readexactly(int(length))


async def until(condition: Callable[[], object]) -> None:
    """The loop has its turns until that is so."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)
