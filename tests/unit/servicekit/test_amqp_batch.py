"""The frames of a batch are those that pamqp makes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pamqp.frame
import pytest
from aiormq.abc import ChannelFrame, FrameType
from aiormq.channel import Channel
from aiormq.exceptions import ChannelInvalidStateError
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.common import FieldTable
from pamqp.header import ContentHeader

from servicekit.amqp_batch import Outgoing, send_batch

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NUMBER = 7
LONGEST_BODY_FRAME = 1000


def channel(*, closed: bool = False) -> Channel:
    """As much of a channel as a batch needs."""
    fake = SimpleNamespace(
        number=NUMBER,
        is_closed=closed,
        delivery_tag=0,
        confirmations={},
        max_content_size=LONGEST_BODY_FRAME,
        write_queue=asyncio.Queue(),
    )
    return cast(Channel, fake)


async def written(messages: Sequence[Outgoing]) -> bytes:
    """The one piece that is handed to the connection."""
    to = channel()
    confirms = send_batch(to, "chat.events", messages)
    assert list(to.confirmations.values()) == confirms
    assert list(to.confirmations) == list(range(1, len(messages) + 1))
    frame: ChannelFrame = to.write_queue.get_nowait()
    assert to.write_queue.empty()
    return frame.payload


def by_pamqp(message: Outgoing) -> bytes:
    headers: FieldTable = {} if message.traceparent is None else {"traceparent": message.traceparent}
    properties = Basic.Properties(
        content_type=message.content_type, headers=headers, delivery_mode=2, message_id=message.message_id
    )
    size = LONGEST_BODY_FRAME
    pieces = [message.body[start : start + size] for start in range(0, len(message.body), size)]
    frames: list[FrameType | ContentBody] = [
        Basic.Publish(exchange="chat.events", routing_key=message.routing_key),
        ContentHeader(body_size=len(message.body), properties=properties),
        *map(ContentBody, pieces),
    ]
    return b"".join(pamqp.frame.marshal(frame, NUMBER) for frame in frames)


@pytest.mark.parametrize("traceparent", [TRACEPARENT, None, "", "x" * 255])
@pytest.mark.parametrize("length", [0, 1, 999, 1000, 1001, 2000, 5500])
async def test_the_frames_are_those_of_pamqp(length: int, traceparent: str | None) -> None:
    message = Outgoing("message.created.v1", b"b" * length, "application/json", "an-id", traceparent)
    assert await written([message]) == by_pamqp(message)


async def test_a_batch_is_its_messages_in_order() -> None:
    messages = [Outgoing(f"event.{n}.v1", b"body", "text/plain", f"id-{n}") for n in range(20)]
    assert await written(messages) == b"".join(map(by_pamqp, messages))


async def test_nothing_is_written_to_a_closed_channel() -> None:
    closed = channel(closed=True)
    with pytest.raises(ChannelInvalidStateError):
        send_batch(closed, "chat.events", [Outgoing("a.v1", b"", "text/plain", "id")])
    assert not closed.confirmations
