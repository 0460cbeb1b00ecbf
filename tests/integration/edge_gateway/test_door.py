"""However a handshake comes, and whatever comes before or behind it: it ends the same way."""

from __future__ import annotations

import asyncio
import re

import orjson
import pytest

from tests.support import contract
from tests.support.edge import PAGE, Edge
from tests.support.sockets import somebody

_KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def _handshake(edge: Edge, *, origin: str = PAGE, path: str = "/ws/chat", more: str = "") -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nOrigin: {origin}\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {_KEY}\r\n{more}"
        f"Sec-WebSocket-Protocol: chat.v1, bearer.{edge.issuer.token(somebody())}\r\n\r\n"
    ).encode()


class _Connection:
    """One connection with its answers, one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, edge: Edge) -> _Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", edge.app.port))

    async def answer(self) -> tuple[int, str, bytes]:
        """Status, head and body."""
        async with asyncio.timeout(30):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            length = re.search(r"(?i)\r\ncontent-length: *(\d+)", head)
            body = await self.reader.readexactly(int(length[1])) if length else b""
        return int(head.split()[1]), head, body

    async def is_let_in(self) -> None:
        """Fails unless the next answer is an upgrade with a welcome."""
        status, head, _ = await self.answer()
        assert status == 101
        assert "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
        async with asyncio.timeout(30):
            assert b"system.welcome" in await self.reader.readuntil(b"}")
        self.writer.close()


@pytest.mark.parametrize("path", ["/ws/chat", "/ws/chat?cursor="])
@pytest.mark.parametrize("cut", [0, 3, 12, 60, -2])
async def test_a_head_in_pieces_is_let_in(edge: Edge, path: str, cut: int) -> None:
    came, request = await _Connection.open(edge), _handshake(edge, path=path)
    if cut:
        came.writer.write(request[:cut])
        await came.writer.drain()
        for _ in range(20):  # the edge has its turns on this loop: it reads what is there
            await asyncio.sleep(0)
    came.writer.write(request[cut:] if cut else request)
    await came.is_let_in()


async def test_what_is_refused_leaves_the_connection_to_the_next(edge: Edge) -> None:
    came = await _Connection.open(edge)
    # In one piece: the second stands behind the head of the first.
    came.writer.write(
        _handshake(edge, origin="https://evil.example") + b"GET /v1/me HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    status, head, body = await came.answer()
    assert (status, "\r\nServer: splits-chat\r\n" in head, "\r\nDate: " in head) == (403, True, True)
    contract.check_problem(orjson.loads(body))
    status, _, body = await came.answer()
    assert status == 401
    contract.check_problem(orjson.loads(body))
    came.writer.write(_handshake(edge))
    await came.is_let_in()


_BODIES = [
    ("Content-Length: 5\r\n", b"hello"),
    ("Content-Length: 150000\r\n", b"a" * 150_000),
    ("Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
]


@pytest.mark.parametrize(("length", "body"), _BODIES, ids=["short", "long", "chunked"])
async def test_a_refused_handshake_with_a_body_is_answered_as_any(
    edge: Edge, length: str, body: bytes
) -> None:
    came = await _Connection.open(edge)
    came.writer.write(_handshake(edge, origin="https://evil.example", more=length) + body)
    status, _, told = await came.answer()
    assert status == 403
    contract.check_problem(orjson.loads(told))
    came.writer.close()


@pytest.mark.parametrize(
    ("ordinary", "closing"), [("HTTP/1.1", "HTTP/1.0"), ("Connection: Upgrade", "Connection: Upgrade, close")]
)
async def test_who_asks_for_the_end_of_the_connection_gets_it(
    edge: Edge, ordinary: str, closing: str
) -> None:
    came = await _Connection.open(edge)
    refused = _handshake(edge, origin="https://evil.example")
    came.writer.write(refused.replace(ordinary.encode(), closing.encode()))
    status, _, _ = await came.answer()
    assert status == 403
    async with asyncio.timeout(30):
        assert await came.reader.read() == b""
    came.writer.close()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /ws/chat HTTP/1.1\r\nHost: x\r\n\r\n", 403),
        (b"GET /ws/chat/ HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /ws/chats HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"DELETE /ws/chat HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET /ws/chat HTTP/1.1\r\nHost: x\r\nUpgrade\r\n\r\n", 400),
        (b"GET /ws/chat?a=%zz HTTP/9.9\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 400),
    ],
)
async def test_what_is_no_handshake_is_answered_as_ever(edge: Edge, request_: bytes, status: int) -> None:
    came = await _Connection.open(edge)
    came.writer.write(request_)
    found, _, body = await came.answer()
    assert found == status
    contract.check_problem(orjson.loads(body))
    came.writer.close()
