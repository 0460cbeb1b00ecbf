"""Confirms are taken out of the stream wherever its pieces end, and everything else stays in it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pamqp.frame
import pytest
from aiormq.channel import Channel
from pamqp.commands import Basic, Queue
from pamqp.heartbeat import Heartbeat

from servicekit.amqp_batch import Confirm
from servicekit.amqp_confirms import ConfirmingStreams, _Reader

NUMBER, OTHER = 7, 8


def frame(what: Any, channel: int = NUMBER) -> bytes:
    return pamqp.frame.marshal(what, channel)


def ack(tag: int, *, several: bool = False, channel: int = NUMBER) -> bytes:
    return frame(Basic.Ack(delivery_tag=tag, multiple=several), channel)


async def reading(tags: int) -> tuple[_Reader, dict[int, Confirm]]:
    """A reader whose channel waits for confirms of the tags from 1 on."""
    loop = asyncio.get_running_loop()
    waiting: dict[int, Confirm] = {tag: loop.create_future() for tag in range(1, tags + 1)}
    reader, streams = _Reader(loop=loop), ConfirmingStreams()
    streams._reader = reader
    streams.confirm(cast(Channel, SimpleNamespace(number=NUMBER, confirmations=dict(waiting))))
    return reader, waiting


async def left(reader: _Reader) -> bytes:
    reader.feed_eof()
    return await reader.read()


async def test_of_confirms_in_one_piece_the_last_is_left() -> None:
    reader, waiting = await reading(3)
    reader.feed_data(ack(1) + ack(2) + ack(3))
    assert [confirm.done() for confirm in waiting.values()] == [True, True, False]
    assert await left(reader) == ack(3)


async def test_what_is_no_confirm_of_one_message_is_left_in_its_order() -> None:
    others = [
        frame(Heartbeat(), 0),
        frame(Basic.Nack(delivery_tag=2)),
        ack(3, several=True),
        ack(1, channel=OTHER),
        frame(Queue.DeclareOk(queue="q", message_count=1, consumer_count=2), OTHER),
    ]
    reader, waiting = await reading(5)
    reader.feed_data(others[0] + ack(1) + b"".join(others[1:3]) + ack(4) + b"".join(others[3:]))
    assert [tag for tag, confirm in waiting.items() if confirm.done()] == [1, 4]
    assert await left(reader) == b"".join(others)


@pytest.mark.parametrize("size", [1, 2, 7, 8, 20, 21, 22, 29, 64])
async def test_pieces_may_end_anywhere(size: int) -> None:
    """What is left and what was taken make up all of it."""
    reader, waiting = await reading(20)
    heartbeat = frame(Heartbeat(), 0)
    data = heartbeat.join(ack(tag) for tag in waiting)
    for start in range(0, len(data), size):
        reader.feed_data(data[start : start + size])
    rest = await left(reader)
    for tag, confirm in waiting.items():
        assert confirm.done() != (ack(tag) in rest)
    assert rest == heartbeat.join(b"" if confirm.done() else ack(tag) for tag, confirm in waiting.items())


async def test_the_end_of_the_stream_leaves_what_was_begun() -> None:
    reader, _ = await reading(1)
    reader.feed_data(ack(1)[:9])
    assert await left(reader) == ack(1)[:9]


async def test_a_confirm_that_nobody_waits_for_any_more_harms_nobody() -> None:
    reader, waiting = await reading(3)
    waiting[1].cancel()
    reader.feed_data(ack(1) + ack(9) + ack(2) + ack(3))
    assert waiting[1].cancelled()
    assert waiting[2].done()
    assert await left(reader) == ack(3)


async def test_before_a_channel_is_named_everything_is_left() -> None:
    reader = _Reader(loop=asyncio.get_running_loop())
    reader.feed_data(b"AMQP\x00\x00\x09\x01" + ack(1) + ack(2))
    assert await left(reader) == b"AMQP\x00\x00\x09\x01" + ack(1) + ack(2)
