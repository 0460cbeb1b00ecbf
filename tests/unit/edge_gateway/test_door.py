"""Connections at a door: what is answered there, and what is left to the server."""

from __future__ import annotations

import asyncio

import pytest

from edge_gateway.http.reply import Reply
from edge_gateway.http.visitor import Visitor
from tests.support.doors import HANDSHAKE, answer_of, door, end_of, named, nobody, post, reset, until


async def test_requests_of_one_connection_are_answered_one_after_the_other() -> None:
    async with door(named, idle_s=0.5) as (rooms, connect):
        reader, writer = await connect()
        for number in range(3):
            writer.write(post(f"/{number}", b"x" * number))
            head, body = await answer_of(reader)
            assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Length: ")
            assert b"Connection:" not in head
            assert body == f"POST /{number} ".encode() + b"x" * number
        assert len(rooms.waiting) == 1
        assert await end_of(reader) == b""  # until they say nothing for too long
        assert not rooms.waiting


async def test_a_request_that_comes_meanwhile_waits_for_its_turn() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(visitor: Visitor) -> Reply | None:
        begun.set()
        await go_on.wait()
        return await named(visitor)

    async with door(slow) as (rooms, connect):
        reader, writer = await connect()
        writer.write(post("/1", b"one"))
        await begun.wait()
        (visited,) = rooms.answering
        writer.write(post("/2", b"two"))
        await until(lambda: visited._ahead)
        assert len(rooms.answering) == 1
        go_on.set()
        assert (await answer_of(reader))[1] == b"POST /1 one"
        assert (await answer_of(reader))[1] == b"POST /2 two"
        writer.close()


async def test_who_says_no_more_is_answered_all_that_they_had_asked() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(visitor: Visitor) -> Reply | None:
        begun.set()
        await go_on.wait()
        return await named(visitor)

    async with door(slow) as (rooms, connect):
        reader, writer = await connect()
        writer.write(post("/1", b"one"))
        await begun.wait()
        (visited,) = rooms.answering
        writer.write(post("/2", b"two"))
        writer.write_eof()
        await until(lambda: visited._ended)
        go_on.set()
        assert [(await answer_of(reader))[1] for _ in range(2)] == [b"POST /1 one", b"POST /2 two"]
        assert await end_of(reader) == b""
        assert not rooms.waiting


@pytest.mark.parametrize("cut", [1, 50, 99_999])
async def test_the_rest_of_a_body_is_waited_for(cut: int) -> None:
    async with door(named) as (rooms, connect):
        reader, writer = await connect()
        request = post("/", b"x" * 100_000)
        writer.write(request[:-cut])
        await until(lambda: rooms.unfinished)
        writer.write(request[-cut:])
        assert (await answer_of(reader))[1] == b"POST / " + b"x" * 100_000
        assert not rooms.unfinished
        writer.write(post("/", b"next"))
        assert (await answer_of(reader))[1] == b"POST / next"
        writer.close()


async def test_a_body_that_does_not_come_is_left_to_the_server() -> None:
    async with door(nobody, pieces_s=0.05) as (rooms, connect):
        (reader, writer), (_, goes) = await connect(), await connect()
        request = post("/", b"hello")
        goes.write(request[:-3])
        await until(lambda: rooms.unfinished)
        goes.close()
        await until(lambda: not rooms.unfinished)
        writer.write(request[:-2])
        told = b"echo " + request[:-2]
        assert await reader.readexactly(len(told)) == told
        writer.write(request[-2:])
        assert await reader.readexactly(7) == b"echo lo"
        writer.close()


_LEFT = {
    "a head in pieces": b"GET / HTTP/1.1\r\nHost: x\r\n",
    "two at once": post("/", b"x") * 2,
    "one and a piece": post("/", b"x") + b"GET",
    "HTTP/1.0": b"GET / HTTP/1.0\r\nHost: x\r\n\r\n",
    "HTTP/1.0 that stays": b"GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
    "the end of the connection": post("/", b"x", "Connection: close\r\n"),
    "a question before the body": post("/", b"x", "Expect: 100-continue\r\n"),
    "chunked": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "a length and chunked": post("/", b"0\r\n\r\n", "Transfer-Encoding: chunked\r\n"),
    "too large": post("/", b"x" * 100_001)[:200],
    "two lengths": post("/", b"x", "Content-Length: 1\r\n"),
    "no length": post("/", b"").replace(b": 0", b": x"),
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n",
    "lines that end in half": b"POST / HTTP/1.1\nHost: x\nContent-Length: 4\n\n\r\n\r\n",
    "a long header": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 1001 + b"\r\n\r\n",
    "a proxy's address": b"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tunnel": b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "an upgrade elsewhere": HANDSHAKE.replace(b"/ws", b"/wss"),
    "another upgrade": HANDSHAKE.replace(b"websocket", b"h2c"),
    "an upgrade with a body": HANDSHAKE.replace(b"Host", b"Content-Length: 1\r\nHost") + b"x",
    # Its length is that of all that came but the empty lines, which no parser minds.
    "empty lines before it": b"\r\n\r\n" + post("/", b"x" * 60)[:60],
    "half an empty line before it": b"\n\r\n\r\n" + post("/", b"x" * 60)[:60],
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}


@pytest.mark.parametrize("what", _LEFT)
async def test_what_is_not_plain_is_the_servers_with_every_byte(what: str) -> None:
    async def answer(visitor: Visitor) -> Reply | None:
        assert visitor.rel_url.raw_path == "/plain"
        return await named(visitor)

    async with door(answer) as (_, connect):
        plain, says = await connect()
        says.write(post("/plain", b"a"))
        await answer_of(plain)
        reader, writer = await connect()
        writer.write(_LEFT[what])
        async with asyncio.timeout(30):
            assert await reader.readexactly(5 + len(_LEFT[what])) == b"echo " + _LEFT[what]
        writer.close()
        says.write(post("/plain", b"b"))  # and nobody else notices
        assert (await answer_of(plain))[1] == b"POST /plain b"
        says.close()


async def test_what_has_no_body_says_none() -> None:
    async def answer(visitor: Visitor) -> Reply | None:
        return Reply(int(visitor.rel_url.raw_path[1:]), b"" if visitor.method == "DELETE" else b"body")

    async with door(answer) as (_, connect):
        reader, writer = await connect()
        expected = {("HEAD", 200): b"4", ("DELETE", 204): None, ("DELETE", 304): None, ("DELETE", 200): b"0"}
        for (method, status), length in expected.items():
            writer.write(f"{method} /{status} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            found = head.partition(b"Content-Length: ")[2].split(b"\r\n")[0] or None
            assert (head.startswith(f"HTTP/1.1 {status} ".encode()), found) == (True, length)
        writer.close()
        assert await end_of(reader) == b""


async def test_who_is_gone_is_answered_no_more_and_what_they_asked_is_done() -> None:
    begun, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(_visitor: Visitor) -> Reply | None:
        begun.set()
        await go_on.wait()
        done.set()
        return Reply(200)

    async with door(slow) as (rooms, connect):
        _, writer = await connect()
        writer.write(post("/", b"x"))
        await begun.wait()
        (visited,) = rooms.answering
        reset(writer)
        await until(lambda: visited.transport is None)
        go_on.set()
        async with asyncio.timeout(30):
            await done.wait()
        await until(lambda: not rooms.answering)
        assert not rooms.waiting


@pytest.mark.parametrize("goes", [True, False])
async def test_bytes_behind_a_handshake_wait_for_its_answer(goes: bool) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    taken: list[bytes] = []

    async def answer(visitor: Visitor) -> Reply | None:
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
            await until(lambda: visited.transport is None)
        else:
            writer.write(b"b" * 200_000)  # more than is taken ahead
            transport = visited.transport
            assert transport is not None
            await until(lambda: not transport.is_reading())
        go_on.set()
        await end_of(reader)
        await until(lambda: not rooms.answering)
        if goes:
            assert taken == []
        else:
            assert 64 * 1024 <= len(taken[0]) < 200_010
            writer.close()
