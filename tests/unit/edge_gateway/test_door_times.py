"""Connections at a door: how long one waits for whom, and the end of the process."""

from __future__ import annotations

import asyncio

import pytest

from edge_gateway.http.reply import Reply
from edge_gateway.http.visitor import Visitor
from tests.support.doors import HANDSHAKE, answer_of, door, end_of, nobody, post, until


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


async def test_who_does_not_read_answers_is_given_no_more() -> None:
    asked: list[str] = []

    async def answer(visitor: Visitor) -> Reply | None:
        asked.append(visitor.rel_url.raw_path)
        return Reply(200, b"x" * 1_000_000)

    async with door(answer) as (rooms, connect):
        reader, writer = await connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        while not any(each._full for each in rooms.waiting):
            count = len(asked)
            writer.write(post("/", b"more"))
            await until(lambda count=count: len(asked) > count)  # type: ignore[misc]
            await until(lambda: rooms.waiting)
        (stuck,) = rooms.waiting
        count = len(asked)
        writer.write(post("/", b"y" * 90_000))
        await until(lambda: stuck.transport is not None and not stuck.transport.is_reading())
        assert len(asked) == count
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(count + 1):
            assert len((await answer_of(reader))[1]) == 1_000_000
        assert len(asked) == count + 1
        writer.close()


@pytest.mark.parametrize("reads", [True, False])
async def test_who_is_slow_has_time_to_read_but_not_for_ever(reads: bool) -> None:
    size = 16_000_000  # more than the kernel takes

    async def answer(_visitor: Visitor) -> Reply | None:
        return Reply(200, b"x" * size)

    async with door(answer, idle_s=1.0 if reads else 0.1) as (rooms, connect):
        reader, writer = await connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(post("/", b"x"))
        await until(lambda: any(each._full for each in rooms.waiting))
        (slow,) = rooms.waiting
        await until(lambda: slow.transport is not None and slow.transport.is_closing())
        if not reads:
            await until(lambda: slow.transport is None)
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert (len(await end_of(reader)) > size) == reads
        await until(lambda: slow.transport is None)
        assert not rooms.waiting
        writer.close()


async def test_who_reads_a_little_more_and_had_asked_again_does_not_stay_for_ever() -> None:
    async def answer(_visitor: Visitor) -> Reply | None:
        return Reply(200, b"x" * 16_000_000)

    async with door(answer, idle_s=0.1) as (rooms, connect):
        _, writer = await connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(post("/", b"x"))
        await until(lambda: any(each._full for each in rooms.waiting))
        (slow,) = rooms.waiting
        writer.write(post("/", b"again"))
        await until(lambda: slow.transport is not None and slow.transport.is_closing())
        slow.resume_writing()  # how much has to be read for that is the kernel's secret
        await until(lambda: slow.transport is None)
        assert not rooms.waiting
        writer.close()


async def test_who_says_no_more_and_does_not_read_the_answer_does_not_stay_for_ever() -> None:
    go_on = asyncio.Event()

    async def answer(_visitor: Visitor) -> Reply | None:
        await go_on.wait()
        return Reply(200, b"x" * 16_000_000)

    async with door(answer, idle_s=0.1) as (rooms, connect):
        _, writer = await connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(post("/", b"x"))
        await until(lambda: rooms.answering)
        (slow,) = rooms.answering
        writer.write_eof()
        await until(lambda: slow._ended)
        go_on.set()
        await until(lambda: slow.transport is None)
        assert not rooms.waiting
        writer.close()


async def test_a_door_that_closes_waits_for_answers_but_not_for_ever() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(visitor: Visitor) -> Reply | None:
        begun.set()
        await go_on.wait()
        return Reply(403, visitor.headers["Host"].encode())

    async with door(slow) as (rooms, connect):
        (first, writer), (silent, _), (half, says) = await connect(), await connect(), await connect()
        writer.write(HANDSHAKE)
        await begun.wait()
        begun.clear()
        late, _ = others = await connect()
        others[1].write(HANDSHAKE)
        await begun.wait()
        says.write(post("/", b"hello")[:-1])
        await until(lambda: rooms.unfinished)
        rooms.close_waiting()
        assert await end_of(silent) == b""
        assert await end_of(half) == b""
        assert await end_of((await connect())[0]) == b""  # too late
        closing = asyncio.create_task(rooms.close(30))
        go_on.set()
        await closing
        for reader in (first, late):
            answer = await end_of(reader)
            assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")
            assert answer.endswith(b"\r\nConnection: close\r\n\r\nx")

    begun.clear()
    go_on.clear()
    async with door(slow) as (rooms, connect):
        late, writer = await connect()
        writer.write(HANDSHAKE)
        await begun.wait()
        await rooms.close(0.01)
        assert await end_of(late) == b""
        assert not rooms.answering


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("in_work", [True, False])
async def test_an_answer_that_is_still_read_has_time_at_the_end_but_not_for_ever(
    reads: bool, in_work: bool
) -> None:
    size, go_on = 16_000_000, asyncio.Event()  # more than the kernel takes

    async def answer(_visitor: Visitor) -> Reply | None:
        await go_on.wait()
        return Reply(200, b"x" * size)

    async with door(answer) as (rooms, connect):
        reader, writer = await connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(post("/", b"x"))
        await until(lambda: rooms.answering)
        if not in_work:
            go_on.set()
            await until(lambda: any(each._full for each in rooms.waiting))
        rooms.close_waiting()
        closing = asyncio.create_task(rooms.close(30 if reads else 0.1))
        go_on.set()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not closing.done()
        if not reads:
            await closing
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert (len(await end_of(reader)) > size) == reads
        await closing
        assert not rooms.leaving
        writer.close()
