"""Where a connection comes in. What is said plainly is answered here; all else is the HTTP server's.

aiohttp makes two tasks, a request, an answer, timers and buffers for what is answered in one write, even
when the connection is upgraded and none of its any more. So a request that is all here is read by aiohttp's
parser and goes the way that all requests go, without the rest. One that comes otherwise (its head in pieces,
too large, chunked, two at once, malformed, HTTP/1.0) makes the connection the server's from then on, with all
bytes of that request, and is answered the same.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import structlog

from edge_gateway.http.visitor import Visitor
from servicekit.telemetry import safe_traceback

if TYPE_CHECKING:
    from edge_gateway.http.rooms import Read, Rooms

_log = structlog.get_logger(__name__)


class Door(asyncio.Protocol):
    """The protocol of a connection until it wants something else. One request is in work at a time."""

    __slots__ = ("_ahead", "_ended", "_full", "_rooms", "_unfinished", "_upgrading", "task", "transport")

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._unfinished: Read | None = None
        self._ahead = b""
        """Of an unfinished request all that came; else what came behind the one in work."""
        self._full = False
        """Answers wait for a client who does not read them."""
        self._ended = False
        """The client says no more."""
        self._upgrading = False
        """Whether the request in work is a handshake."""
        self.transport: asyncio.Transport | None = None
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody is there."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its bases
        if self._rooms.closing:
            self.close()
        else:
            self._rooms.waiting.begin(self)

    def data_received(self, data: bytes) -> None:
        """One request, most likely. Who is being answered, or does not read answers, has to wait."""
        if self.task is not None or self._full:
            self._ahead += data
            if len(self._ahead) >= self._rooms.max_ahead and self.transport is not None:
                self.transport.pause_reading()
        elif self._unfinished is not None:
            self._visit(self._unfinished, self._ahead + data)
        else:
            self._rooms.waiting.end(self)
            self._take(data)

    def pause_writing(self) -> None:
        """The client does not read."""
        self._full = True

    def resume_writing(self) -> None:
        """They do again."""
        self._full = False
        transport = self.transport
        # Of one that is closed already the time goes on: they may stop reading again.
        if self._ahead and self.task is None and transport is not None and not transport.is_closing():
            self._rooms.waiting.end(self)
            self._next()

    def eof_received(self) -> bool:
        """The client says no more. They may still read (RFC 9112, 9.6): an answer in work, and what they had
        asked behind it, is waited for. A connection that was to have another protocol is of no use any more.
        """
        self._ended = self.task is not None and not self._upgrading
        return self._ended

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Nobody is there any more; who works on an answer finds that out."""
        self._rooms.waiting.end(self)
        self._rooms.unfinished.end(self)
        lost = self._rooms.leaving.pop(self, None)
        if lost is not None:
            lost.set_result(None)
        self.transport = None

    def close(self) -> None:
        """Ends the connection; what was answered still goes out."""
        if self.transport is None:
            return
        self.transport.close()
        if self._full:
            self._rooms.leaving.setdefault(self, self._rooms.loop.create_future())

    def abort(self) -> None:
        """Ends the connection."""
        if self.transport is not None:
            self.transport.abort()

    def stand_idle(self) -> None:
        """Nothing was asked for too long. Who still reads an answer may do so for as long again."""
        if self.transport is None:
            return
        if self._full and not self.transport.is_closing():
            self.transport.close()
            self._rooms.waiting.begin(self)
        else:
            self.transport.abort()

    def give_up(self) -> None:
        """The rest of a body does not come: the server may wait for it."""
        self._hand_over(self._ahead)

    def take_over(self) -> tuple[asyncio.Transport, bytes]:
        """As the visitor's."""
        transport, self.transport = self.transport, None
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        if not transport.is_reading():
            transport.resume_reading()
        return transport, self._ahead

    def _take(self, data: bytes) -> None:
        """What nobody has looked at yet."""
        read = self._rooms.read(data)
        if read is None:
            self._hand_over(data)
        else:
            self._visit(read, data)

    def _visit(self, read: Read, data: bytes) -> None:
        """`data`: all that came from where the request begins."""
        rooms, missing = self._rooms, read.size - len(data)
        if missing > 0:
            if self._unfinished is None:
                rooms.unfinished.begin(self)
            self._unfinished, self._ahead = read, data
            return
        if self._unfinished is not None:
            rooms.unfinished.end(self)
            self._unfinished = None
        if missing < 0:
            self._hand_over(data)
            return
        # What stands behind the head of a handshake is no body.
        body, self._ahead = (
            (b"", data[read.body_at :]) if read.message.upgrade else (data[read.body_at :], b"")
        )
        self._upgrading = bool(read.message.upgrade)
        rooms.answering.add(self)
        self.task = rooms.loop.create_task(self._answer(Visitor(self, read.message, body)))

    async def _answer(self, visitor: Visitor) -> None:
        rooms = self._rooms
        try:
            reply = await rooms.answer(visitor)
            transport = self.transport
            if reply is not None and transport is not None and not transport.is_closing():
                transport.write(reply.on_the_wire(visitor.method, closes=rooms.closing))
        except ConnectionError:
            self.abort()
        except Exception as error:  # noqa: BLE001 - whatever it was, nobody waits for an answer that will not come
            _log.error("answer_failed", exception=safe_traceback(error))
            self.abort()
        finally:
            rooms.answering.discard(self)
            self.task = None
        self._next()

    def _next(self) -> None:
        """Nothing is in work: what came meanwhile is looked at, or something waited for."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if self._rooms.closing:
            self.close()
        elif self._ahead and not self._full:
            data, self._ahead = self._ahead, b""
            if not transport.is_reading():
                transport.resume_reading()
            self._take(data)
        elif self._ended and not self._ahead:
            self.close()
            self._rooms.waiting.begin(self)  # they may never read it
        else:
            self._rooms.waiting.begin(self)

    def _hand_over(self, data: bytes) -> None:
        """From here on the connection is the server's."""
        transport, self.transport = self.transport, None
        if transport is None or transport.is_closing():
            return
        if self._rooms.closing:
            transport.close()
            return
        protocol = self._rooms.server()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(data)
        if self._ended and not protocol.eof_received():
            transport.close()
