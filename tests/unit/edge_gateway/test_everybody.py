"""What is said to all sockets at once: to whom, in how many pieces, and to whom not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from edge_gateway.metrics import Metrics
from edge_gateway.sockets.codes import Close
from edge_gateway.sockets.everybody import Everybody
from edge_gateway.sockets.socket import Limits, Socket
from edge_gateway.sockets.wheel import Wheel
from edge_gateway.sockets.wire import text_frame

MAX = 4096


class Transport(asyncio.Transport):
    """Takes everything; `behind` bytes have not gone yet."""

    def __init__(self) -> None:
        super().__init__()
        self.behind = 0
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self.behind

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing waits here."""

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Nobody talks here."""

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True


class Nobody:
    def on_text(self, payload: bytes) -> None: ...

    def on_alive(self) -> None: ...

    def on_control(self) -> bool:
        return False

    def on_heard(self) -> None: ...

    def on_closing(self) -> None: ...


class Room:
    """An edge's sockets."""

    def __init__(self, number: int) -> None:
        self.metrics = Metrics()
        self.transports = [Transport() for _ in range(number)]
        self.sockets = [self._socket(each) for each in self.transports]
        self.everybody = Everybody(self.sockets, self.metrics, max_bytes=MAX, max_waiting=1024 * 1024)

    def _socket(self, transport: Transport) -> Socket:
        limits = Limits(ping_s=60, close_timeout_s=1, max_frame=1024, max_buffer=8192, max_ephemeral=MAX)
        socket = Socket(
            transport, Nobody(), limits, self.metrics, head=b"", pings=Wheel(60), on_gone=lambda _socket: None
        )
        socket.live = True
        return socket

    @property
    def counted(self) -> tuple[int, int]:
        """Frames written, and left out."""
        return self.metrics.frames_out.value, self.metrics.frames_dropped.value

    async def settled(self) -> None:
        """Returns when all that was said is written."""
        for _ in range(20):
            await asyncio.sleep(0)


def notice(text: str = "hi") -> bytes:
    return orjson.dumps({"type": "system.notice", "eventId": "e", "data": {"text": text}})


async def test_a_frame_is_written_as_it_came_to_every_live_socket() -> None:
    room = Room(3)
    room.everybody.receive(notice())
    await room.settled()
    assert [each.written for each in room.transports] == [[text_frame(notice())]] * 3
    assert room.counted == (3, 0)


def not_live(socket: Socket, _transport: Transport) -> None:
    socket.live = False


def closing(socket: Socket, transport: Transport) -> None:
    socket.close(Close.MAX_AGE)
    transport.written.clear()


def gone(_socket: Socket, transport: Transport) -> None:
    transport.closed = True


@pytest.mark.parametrize("state", [not_live, closing, gone])
async def test_a_socket_is_not_told_while_it_is(state: Callable[[Socket, Transport], None]) -> None:
    room = Room(2)
    state(room.sockets[0], room.transports[0])
    room.everybody.receive(notice())
    await room.settled()
    assert [len(each.written) for each in room.transports] == [0, 1]
    assert room.counted == (1, 0)


async def test_a_reader_who_is_behind_is_passed_over_and_not_closed() -> None:
    room = Room(2)
    room.transports[0].behind = MAX + 1
    room.everybody.receive(notice("first"))
    await room.settled()
    room.transports[0].behind = MAX
    room.everybody.receive(notice("second"))
    await room.settled()
    assert room.transports[0].written == [text_frame(notice("second"))]
    assert room.transports[1].written == [text_frame(notice("first")), text_frame(notice("second"))]
    assert not room.sockets[0].closing
    assert room.counted == (3, 1)


async def test_what_comes_together_is_written_in_one_piece_in_order() -> None:
    room = Room(1)
    frames = [notice(str(number)) for number in range(5)]
    for each in frames:
        room.everybody.receive(each)
    await room.settled()
    assert room.transports[0].written == [b"".join(map(text_frame, frames))]
    assert room.counted == (5, 0)


async def test_no_piece_is_longer_than_what_a_reader_may_be_behind() -> None:
    room = Room(1)
    frames = [text_frame(notice(f"{number}{'x' * 1500}")) for number in range(5)]
    for number in range(5):
        room.everybody.receive(notice(f"{number}{'x' * 1500}"))
    await room.settled()
    assert b"".join(room.transports[0].written) == b"".join(frames)
    assert [len(each) <= MAX for each in room.transports[0].written] == [True, True, True]


async def test_other_work_goes_on_between_some_hundred_sockets_and_the_next() -> None:
    room = Room(1200)
    told: list[int] = []

    def look() -> None:
        told.append(room.metrics.frames_out.value)
        if told[-1] < 1200:
            asyncio.get_running_loop().call_soon(look)

    room.everybody.receive(notice())
    look()
    await room.settled()
    assert {0, 500, 1000, 1200} <= set(told)
    assert all(len(each.written) == 1 for each in room.transports)


async def test_a_socket_that_ends_before_its_turn_is_not_told() -> None:
    room = Room(600)
    room.everybody.receive(notice())
    await asyncio.sleep(0)
    assert room.metrics.frames_out.value == 500
    room.transports[599].closed = True
    await room.settled()
    assert not room.transports[599].written
    assert room.counted == (599, 0)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"nonsense",
        b"[]",
        b"{}",
        b'{"type":1}',
        b'{"type":"system.notice","cursor":"17-1"}',
        b'{"type":"system.notice"}{}',
        b'{"type":"\xff"}',
        notice("x" * MAX),
    ],
)
async def test_what_is_no_frame_for_everybody_is_told_nobody(payload: bytes) -> None:
    room = Room(1)
    room.everybody.receive(payload)
    room.everybody.receive(notice())
    await room.settled()
    assert room.transports[0].written == [text_frame(notice())]


async def test_more_than_can_wait_is_left_out() -> None:
    room = Room(1)
    long = notice("x" * (MAX - 200))
    for _ in range(2 * 1024 * 1024 // MAX):
        room.everybody.receive(long)
    for _ in range(600):
        await asyncio.sleep(0)
    told, left_out = room.counted
    assert told == len(room.transports[0].written)
    assert told + left_out == 2 * 1024 * 1024 // MAX
    assert told <= 1024 * 1024 // len(long) <= told + 1
    room.everybody.receive(notice())
    await room.settled()
    assert room.transports[0].written[-1] == text_frame(notice())
