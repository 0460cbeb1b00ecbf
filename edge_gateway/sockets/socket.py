"""One upgraded connection: frames in and out, bounded, alive, and closed properly.

Writing never waits: bytes go to the transport, and a reader that lets more than `max_buffer` of them wait is
closed. Whoever writes to many sockets is therefore never held up by one. The kernel is not to be a second and
larger queue behind the transport: it takes little that it cannot send yet.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from edge_gateway.metrics import Metrics
from edge_gateway.sockets import wire
from edge_gateway.sockets.codes import Close
from edge_gateway.sockets.wheel import Wheel

_CONGESTED = 48 * 1024
"""Bytes waiting in the transport with which a replay stops, to look up anew what it has not written yet."""
_UNSENT = 16 * 1024
"""Bytes that wait behind them in the kernel; left to itself it takes megabytes, bodies in them, for a reader
that reads nothing."""
_MESSAGES_A_TURN = 8
"""Of one socket; what else came together with them waits until the others had theirs.

None of the three is a setting: they follow from what a system call and a frame cost. What a reader may let
wait is WS_MAX_BUFFER_BYTES.
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of every socket; times in seconds, sizes in bytes."""

    ping_s: float
    close_timeout_s: float
    max_frame: int
    max_buffer: int
    max_ephemeral: int
    """With more bytes waiting, a reader is not told what may be left out."""


class Listener(Protocol):
    """Whom a socket tells what happens to it. All calls come from the event loop and must not block."""

    def on_text(self, payload: bytes) -> None: ...

    def on_alive(self) -> None:
        """A ping was answered."""

    def on_control(self) -> bool:
        """A ping or a pong came that nobody asked for. Whether a ping is to be answered."""

    def on_heard(self) -> None:
        """After `finish`: of all that had come it has been told."""

    def on_closing(self) -> None:
        """Nothing is delivered from now on, in either direction."""


class Socket(asyncio.Protocol):
    """The protocol of a transport from the upgrade on. Made to be many: what is not needed yet is not there.

    `head`: the answer to the handshake; it leaves with the first frame. `pings` turns for all sockets.
    `on_gone` is called once, when the connection is gone.
    """

    __slots__ = (
        "_alive",
        "_cut",
        "_finishing",
        "_full",
        "_head",
        "_limits",
        "_listener",
        "_metrics",
        "_on_gone",
        "_paused",
        "_ping",
        "_pings",
        "_reader",
        "_rest",
        "_stopped",
        "_transport",
        "_writable",
        "closing",
        "live",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        listener: Listener,
        limits: Limits,
        metrics: Metrics,
        *,
        head: bytes,
        pings: Wheel,
        on_gone: Callable[[Socket], None],
    ) -> None:
        self._transport = transport
        self._head = head
        self._listener = listener
        self._limits = limits
        self._metrics = metrics
        self._on_gone = on_gone
        self._reader: wire.Reader | None = wire.Reader(limits.max_frame)
        self._alive = True
        self._rest: Iterator[tuple[wire.Opcode, bytes]] | None = None
        self._paused = False
        self._stopped = False
        self._finishing = False
        self._cut: asyncio.TimerHandle | None = None
        self._full = False
        self._writable: asyncio.Future[None] | None = None
        self.closing = False
        self.live = False
        """Whether it is told what is said to everybody: not before it has caught up."""
        self._pings = pings
        # Spread, so that sockets which connected together are not pinged together for ever.
        self._ping = pings.add(limits.ping_s * random.uniform(0.5, 1.0), self)  # noqa: S311 - spreads load
        _bound(transport)
        transport.set_protocol(self)

    def write(self, frames: bytes, number: int = 1) -> None:
        """Writes one frame or several, or closes the socket of a reader who is too far behind."""
        if self.closing or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() + len(frames) > self._limits.max_buffer:
            self.close(Close.SLOW_CONSUMER)
            return
        self._put(frames)
        self._metrics.frames_out.add(number)

    def offer(self, frame: bytes) -> bool:
        """Writes a frame that may be left out. False: it is not live, or its reader is behind."""
        if not self.live or self._transport.is_closing():
            return False
        if self._transport.get_write_buffer_size() > self._limits.max_ephemeral:
            self._metrics.frames_dropped.add(1)
            return False
        self._put(frame)
        self._metrics.frames_out.add(1)
        return True

    def _put(self, frames: bytes) -> None:
        if self._head:
            frames, self._head = self._head + frames, b""
        self._transport.write(frames)

    @property
    def congested(self) -> bool:
        """Whether the reader is behind: more would only wait."""
        return self._transport.get_write_buffer_size() > _CONGESTED

    async def drained(self) -> None:
        """Returns when the reader has caught up, or the connection is gone."""
        if self._full and not self._transport.is_closing():
            self._writable = asyncio.get_running_loop().create_future()
            await self._writable

    def close(self, code: Close) -> None:
        """Begins the closing handshake; the connection is cut when the peer does not finish it in time."""
        if not self.closing:
            self._metrics.closes.labels(code=str(code.value)).inc()
            self._shut(wire.close_frame(code, code.name.lower()))
            self._cut_in_time()

    def finish(self) -> None:
        """Nothing more is read. Its listener is told of what had come, then that this was all."""
        if self.closing or self._finishing:
            return
        self._finishing = True
        self._regulate()
        if self._rest is None:
            self._listener.on_heard()

    def pause(self, paused: bool) -> None:
        """Stops or resumes reading from the peer."""
        self._paused = paused
        self._regulate()

    def _regulate(self) -> None:
        """Nothing is read while its listener cannot take it, or what was read before is not handled yet."""
        stopped = self._paused or self._finishing or self._rest is not None
        if stopped is not self._stopped and not self._transport.is_closing():
            self._stopped = stopped
            if stopped:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def pause_writing(self) -> None:
        """The reader is behind."""
        self._full = True

    def resume_writing(self) -> None:
        """The reader has caught up, or never will."""
        self._full = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def data_received(self, data: bytes) -> None:
        """Bytes from the peer."""
        asked, self._alive = not self._alive, True
        if self._reader is None or self._transport.is_closing():
            return
        messages = self._reader.feed(data)
        if self._rest is not None:
            self._rest = chain(self._rest, messages)
        else:
            self._handle(messages, asked)

    def _handle(self, messages: Iterator[tuple[wire.Opcode, bytes]], asked: bool) -> None:
        """Some of them, and the rest in a later turn. `asked`: a ping has not been answered before."""
        left = _MESSAGES_A_TURN
        try:
            for opcode, payload in messages:
                if asked and opcode is wire.Opcode.PONG and not self.closing:
                    asked = False  # the one answer that costs nothing: quiet sockets have to say no more
                    self._listener.on_alive()
                else:
                    self._on_message(opcode, payload)
                if self._transport.is_closing():
                    return
                left -= 1
                if not left:
                    self._rest = messages
                    self._regulate()
                    asyncio.get_running_loop().call_soon(self._go_on, asked)
                    return
        except wire.WireError:
            # From here on the bytes mean nothing: what still comes is thrown away until the peer is gone, so
            # that its unread bytes do not reset the connection before it has read why.
            self._reader = None
            self.close(Close.PROTOCOL_ERROR)
            if self._transport.can_write_eof() and not self._transport.is_closing():
                self._transport.write_eof()

    def _go_on(self, asked: bool) -> None:
        messages, self._rest = self._rest, None
        if messages is None or self._transport.is_closing():
            return
        try:
            self._handle(messages, asked)
            self._regulate()
            if self._finishing and self._rest is None:
                self._listener.on_heard()
        except BaseException:
            self._transport.abort()  # as the transport itself does after a fault in `data_received`
            raise

    def eof_received(self) -> None:
        """The peer says no more; the transport closes itself once what waits is read."""
        self._stop()
        self._cut_in_time()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The connection is gone."""
        self._stop()
        self.resume_writing()
        if self._cut is not None:
            self._cut.cancel()
        self._on_gone(self)

    def _on_message(self, opcode: wire.Opcode, payload: bytes) -> None:
        if opcode is wire.Opcode.CLOSE:
            if not self.closing:
                code = wire.close_code(payload)
                # Codes that may not stand in a frame are answered by a plain "normal".
                echoed = code if 3000 <= code < 5000 or code in (1000, 1001) else Close.NORMAL
                self._shut(wire.close_frame(echoed))
                self._cut_in_time()
            self._transport.close()
        elif self.closing:
            return
        elif opcode is wire.Opcode.TEXT:
            self._listener.on_text(payload)
        elif opcode in (wire.Opcode.PING, wire.Opcode.PONG):
            if self._listener.on_control() and opcode is wire.Opcode.PING:
                self.write(wire.control_frame(wire.Opcode.PONG, payload))
        elif opcode is wire.Opcode.BINARY:
            self.close(Close.PROTOCOL_ERROR)

    def on_time(self) -> None:
        """A ping is due, and an answer to the one before."""
        if self.closing:
            return
        if not self._alive:
            self.close(Close.NO_PONG)
            return
        self._alive = False
        self.write(wire.control_frame(wire.Opcode.PING))
        if not self.closing:
            self._ping = self._pings.add(self._limits.ping_s, self)

    def _shut(self, frame: bytes) -> None:
        self._stop()
        self._finishing = False
        self.pause(False)
        if not self._transport.is_closing():
            self._put(frame)

    def _cut_in_time(self) -> None:
        """A transport that closes waits for its reader, who may never read."""
        if self._cut is None:
            loop = asyncio.get_running_loop()
            self._cut = loop.call_later(self._limits.close_timeout_s, self._transport.abort)

    def _stop(self) -> None:
        if not self.closing:
            self.closing = True
            self.live = False
            self._pings.remove(self._ping, self)
            self._listener.on_closing()


def write_ephemeral(sockets: Iterable[Socket], frames: bytes) -> tuple[int, int]:
    """Writes frames that may be left out to all who are live. Returns to how many sockets, and how many
    were passed over because their readers are behind.

    One loop for all of them: a call for each costs more than everything else here but the write itself.
    """
    told = passed_over = 0
    for each in sockets:
        transport = each._transport
        if not each.live or transport.is_closing():
            continue
        if transport.get_write_buffer_size() > each._limits.max_ephemeral:
            passed_over += 1
        else:
            transport.write(frames)
            told += 1
    return told, passed_over


def _bound(transport: asyncio.Transport) -> None:
    """Sets what waits for a reader before `drained` has to be waited for, and what may wait in the kernel."""
    transport.set_write_buffer_limits(high=_CONGESTED)
    connection = transport.get_extra_info("socket")
    if connection is not None and not transport.is_closing() and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)
