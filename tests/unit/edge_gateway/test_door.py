"""Connections at a door: how long they may say nothing, and what becomes of them when it closes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from edge_gateway.http.door import Answer, Door, Rooms, Visitor

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
async def door(answer: Answer, idle_s: float = 60.0) -> AsyncIterator[tuple[Rooms, Connect]]:
    rooms = Rooms("/ws", answer, _Echo, max_field=1000, idle_s=idle_s)
    server = await asyncio.get_running_loop().create_server(lambda: Door(rooms), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield rooms, lambda: asyncio.open_connection("127.0.0.1", port)
    finally:
        server.close()
        rooms.close_waiting()
        await rooms.close(0)


async def nobody(_visitor: Visitor) -> web.StreamResponse | None:
    raise AssertionError("nobody was to come here")


async def end_of(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the connection ends."""
    async with asyncio.timeout(30):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


async def test_who_says_nothing_is_sent_away_and_who_speaks_stays() -> None:
    async with door(nobody, idle_s=0.05) as (rooms, connect):
        silent, _ = await connect()
        speaks, writer = await connect()
        writer.write(b"GET /other")
        assert await speaks.readexactly(15) == b"echo GET /other"
        assert await end_of(silent) == b""
        assert not rooms.waiting
        later, _ = await connect()  # the clock goes on for those who come afterwards
        assert await end_of(later) == b""
        writer.write(b"!")
        assert await speaks.readexactly(6) == b"echo !"
        writer.close()


async def test_a_door_that_closes_waits_for_answers_but_not_for_ever() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(visitor: Visitor) -> web.StreamResponse | None:
        begun.set()
        await go_on.wait()
        return web.Response(status=403, body=visitor.headers["Host"].encode())

    async with door(slow) as (rooms, connect):
        (first, writer), (silent, _) = await connect(), await connect()
        writer.write(HANDSHAKE)
        await begun.wait()
        rooms.close_waiting()
        assert await end_of(silent) == b""
        closing = asyncio.create_task(rooms.close(30))
        go_on.set()
        await closing
        assert (await first.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 403 Forbidden\r\n")
        assert await first.readexactly(1) == b"x"
        writer.close()

        begun.clear()
        go_on.clear()
        late, writer = await connect()
        writer.write(HANDSHAKE)
        await begun.wait()
        await rooms.close(0.01)
        assert await end_of(late) == b""
        assert not rooms.answering


@pytest.mark.parametrize("goes", [True, False])
async def test_bytes_behind_a_handshake_wait_for_its_answer(goes: bool) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    taken: list[bytes] = []

    async def answer(visitor: Visitor) -> web.StreamResponse | None:
        begun.set()
        await go_on.wait()
        transport, rest = visitor.take_over()
        taken.append(rest)
        transport.close()
        return None

    async with door(answer) as (rooms, connect):
        reader, writer = await connect()
        writer.write(HANDSHAKE + b"a" * 10)
        await begun.wait()
        (visited,) = rooms.answering
        if goes:
            writer.transport.abort()
            while visited.transport is not None:
                await asyncio.sleep(0)
        else:
            writer.write(b"b" * 200_000)  # more than is taken ahead
            transport = visited.transport
            while transport is not None and transport.is_reading():
                await asyncio.sleep(0)
        go_on.set()
        await end_of(reader)
        while rooms.answering:
            await asyncio.sleep(0)
        if goes:
            assert taken == []
        else:
            assert 64 * 1024 <= len(taken[0]) < 200_010
            writer.close()
