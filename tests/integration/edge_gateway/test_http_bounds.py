"""What an HTTP connection may take, however it is read: as the settings have it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from splits.chat.conversation.v1 import service_pb2 as conversation_rpc

from tests.support.edge import Edge, run_edge
from tests.support.issuer import Issuer
from tests.support.keys import Keys
from tests.support.sockets import WHERE, somebody

_PLAIN = b"GET /docs HTTP/1.1\r\nHost: x\r\n\r\n"
_CHUNKED = b"GET /docs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
_READ_BY = pytest.mark.parametrize("request_", [_PLAIN, _CHUNKED], ids=["the door", "the server"])


@asynccontextmanager
async def _connected(edge: Edge) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.app.port)
    try:
        async with asyncio.timeout(30):
            yield reader, writer
    finally:
        writer.transport.abort()


async def _status(reader: asyncio.StreamReader) -> int:
    return int((await reader.readuntil(b"\r\n\r\n")).split()[1])


def _send(edge: Edge, length: str) -> bytes:
    """The head of a send whose body is still to come."""
    return (
        f"POST /v1/conversations/{WHERE}/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {edge.issuer.token(somebody())}\r\n{length}\r\n\r\n"
    ).encode()


@_READ_BY
async def test_who_asks_nothing_more_is_sent_away(
    keys: Keys, redis_url: str, issuer: Issuer, request_: bytes
) -> None:
    async with (
        run_edge(keys, redis_url, issuer, http_idle_ms=200) as edge,
        _connected(edge) as (reader, writer),
    ):
        writer.write(request_)
        assert await _status(reader) == 200
        assert await reader.read()  # to its end


@pytest.mark.parametrize("length", ["Content-Length: 5", "Transfer-Encoding: chunked"])
async def test_a_body_that_does_not_come_in_time_is_refused(
    keys: Keys, redis_url: str, issuer: Issuer, length: str
) -> None:
    async with (
        run_edge(keys, redis_url, issuer, http_body_timeout_ms=100, http_linger_ms=50) as edge,
        _connected(edge) as (reader, writer),
    ):
        writer.write(_send(edge, length))
        assert await _status(reader) == 503
        assert b"The body did not arrive in time." in await reader.read()  # to its end


async def test_the_rest_of_a_refused_body_has_its_time(keys: Keys, redis_url: str, issuer: Issuer) -> None:
    length = f"Content-Length: {70_000}"
    async with (
        run_edge(keys, redis_url, issuer, http_linger_ms=100) as edge,
        _connected(edge) as (reader, writer),
    ):
        writer.write(_send(edge, length))
        assert await _status(reader) == 413
        await reader.read()  # to its end: the rest did not come
    async with (
        run_edge(keys, redis_url, issuer, http_linger_ms=30_000) as edge,
        _connected(edge) as (reader, writer),
    ):
        writer.write(_send(edge, length))
        assert await _status(reader) == 413
        writer.write(b"x" * 70_000 + _PLAIN)
        while b"HTTP/1.1 200 OK" not in await reader.readline():
            pass


@pytest.mark.parametrize(("spare", "status"), [(0, 200), (1, 400)])
async def test_a_header_may_be_as_long_as_it_is_said(
    keys: Keys, redis_url: str, issuer: Issuer, spare: int, status: int
) -> None:
    async with (
        run_edge(keys, redis_url, issuer, http_max_header_bytes=2048) as edge,
        _connected(edge) as (reader, writer),
    ):
        long = b"X-Long: " + b"x" * (2048 + spare)
        writer.write(_PLAIN.replace(b"Host: x", b"Host: x\r\n" + long))
        assert await _status(reader) == status


async def test_what_is_in_work_at_the_end_has_that_time_once(
    keys: Keys, redis_url: str, issuer: Issuer
) -> None:
    async with run_edge(
        keys, redis_url, issuer, http_drain_ms=3000, call_timeout_ms=60_000, request_timeout_ms=60_000
    ) as edge:
        asked, never = [0], asyncio.Event()

        async def slow(_request: object, _user: object) -> conversation_rpc.PutBlockResponse:
            asked[0] += 1
            await never.wait()
            raise AssertionError

        edge.services.answers["PutBlock"] = slow
        # Longer than the edge waits for a service, so that each is cut off.
        async with _connected(edge) as (plain, one), _connected(edge) as (chunked, other):
            head = (
                "PUT /v1/blocks/bob HTTP/1.1\r\nHost: x\r\n"
                f"Authorization: Bearer {edge.issuer.token(somebody())}\r\n"
            ).encode()
            one.write(head + b"\r\n")
            other.write(head + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
            while asked[0] < 2:
                await asyncio.sleep(0)
            began = asyncio.get_running_loop().time()
            await edge.app.stop()
            assert await plain.read() == await chunked.read() == b""
            assert asyncio.get_running_loop().time() - began < 5


async def test_what_is_in_work_at_the_end_has_its_time(keys: Keys, redis_url: str, issuer: Issuer) -> None:
    async with run_edge(keys, redis_url, issuer, http_drain_ms=50) as edge:
        asked, never = asyncio.Event(), asyncio.Event()

        async def slow(_request: object, _user: object) -> conversation_rpc.PutBlockResponse:
            asked.set()
            await never.wait()
            raise AssertionError

        edge.services.answers["PutBlock"] = slow
        async with _connected(edge) as (reader, writer):
            token = edge.issuer.token(somebody())
            head = f"PUT /v1/blocks/bob HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
            writer.write(head.encode())
            await asked.wait()
            stopping = asyncio.create_task(edge.app.stop())
            assert await reader.read() == b""
            await stopping
