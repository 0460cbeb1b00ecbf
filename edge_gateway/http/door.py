"""Where a connection comes in. A WebSocket handshake is answered here; all else is the HTTP server's.

aiohttp makes two tasks, a request, an answer, timers and buffers for a connection that is none of its any
more as soon as it is upgraded. So an ordinary handshake, whose head comes in one piece, is read by aiohttp's
parser and goes the way that all requests go, without the rest. One that comes otherwise (in pieces, behind
another request of its connection, with a body, malformed) is left to the server, and ends the same way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from typing import Any, cast

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from yarl import URL

from servicekit.telemetry import safe_traceback

_log = structlog.get_logger(__name__)
_HEAD_ENDS = b"\r\n\r\n"
_MOST_AHEAD = 64 * 1024
"""Bytes that may come before the handshake is answered; then no more are read until it is."""

Answer = Callable[["Visitor"], Awaitable[web.StreamResponse | None]]
"""Answers a handshake: None when it has taken the connection over. Raises ConnectionError when the client is
gone."""


class Visitor:
    """A handshake: of aiohttp's request what is asked of it."""

    __slots__ = ("_door", "headers", "method", "rel_url")

    def __init__(self, door: Door, message: RawRequestMessage) -> None:
        self._door = door
        self.method = message.method
        self.headers: Mapping[str, str] = message.headers
        self.rel_url: URL = message.url

    @property
    def query(self) -> Mapping[str, str]:
        """What stands behind the question mark."""
        return self.rel_url.query

    @property
    def transport(self) -> asyncio.Transport | None:
        """None once the client is gone."""
        return self._door.transport

    def take_over(self) -> tuple[asyncio.Transport, bytes]:
        """The connection, and the bytes behind the head. Raises ConnectionResetError when nobody is there."""
        return self._door.take_over()


class Rooms:
    """What the doors of one server lead to, and which of them are open.

    `path`: of the handshake. `server` makes the protocol for everything else. `max_field`: bytes of a header.
    `idle_s`: how long a connection may say nothing.
    """

    def __init__(
        self,
        path: str,
        answer: Answer,
        server: Callable[[], asyncio.Protocol],
        *,
        max_field: int,
        idle_s: float,
    ) -> None:
        # Another path may begin as this one does: what comes behind it says that it ends here.
        self.beginnings = (f"GET {path} ".encode(), f"GET {path}?".encode())
        self.answer = answer
        self.server = server
        self.loop = asyncio.get_running_loop()
        self.waiting: dict[Door, float] = {}
        """Those that have heard nothing yet, in their order, by when that is too long."""
        self.answering: set[Door] = set()
        self._max_field = max_field
        self._idle_s = idle_s
        self._timer: asyncio.TimerHandle | None = None

    def wait(self, door: Door) -> None:
        """It has heard nothing yet."""
        self.waiting[door] = self.loop.time() + self._idle_s
        if self._timer is None:
            self._timer = self.loop.call_later(self._idle_s, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        now = self.loop.time()
        for door, until in tuple(self.waiting.items()):
            if until > now:
                self._timer = self.loop.call_later(until - now, self._on_time)
                break
            door.abort()

    def parse(self, data: bytes) -> tuple[RawRequestMessage, bytes] | None:
        """A whole handshake and what stands behind its head; None when that is not all there is."""
        reader = _Unread()
        parser = HttpRequestParser(
            cast("Any", reader), self.loop, _MOST_AHEAD, max_field_size=self._max_field
        )
        try:
            messages, upgraded, tail = parser.feed_data(data)
        except HttpProcessingError:
            return None  # the server finds the same, and has an answer to it
        if len(messages) != 1 or not upgraded:
            return None
        message, body = messages[0]
        if body is not EMPTY_PAYLOAD or message.should_close:
            return None  # it says that a body comes, or that the connection ends with the answer
        return message, tail

    def close_waiting(self) -> None:
        """Closes those that have heard nothing."""
        for door in tuple(self.waiting):
            door.abort()

    async def close(self, seconds: float) -> None:
        """Waits for those that are answering, and ends what is left after so long."""
        tasks = [door.task for door in self.answering if door.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()
        for door in tuple(self.answering):
            door.abort()
        if self._timer is not None:
            self._timer.cancel()


class _Unread:
    """To whom the parser says whether a body comes too fast: nobody reads one here."""

    def pause_reading(self) -> None:
        """The server will read it, from its beginning."""

    def resume_reading(self, *, resume_parser: bool = True) -> None:
        """The server will read it, from its beginning."""


class Door(asyncio.Protocol):
    """The protocol of a connection until it is known what it wants."""

    __slots__ = ("_rest", "_rooms", "task", "transport")

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._rest: bytes | None = None
        """What came behind the head; None before there was one."""
        self.transport: asyncio.Transport | None = None
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody is there."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its bases
        self._rooms.wait(self)

    def data_received(self, data: bytes) -> None:
        """The first bytes say what it is; more of them wait until that is answered."""
        rooms = self._rooms
        if self._rest is not None:
            self._rest += data
            if len(self._rest) >= _MOST_AHEAD and self.transport is not None:
                self.transport.pause_reading()
            return
        del rooms.waiting[self]
        parsed = rooms.parse(data) if data.startswith(rooms.beginnings) and _HEAD_ENDS in data else None
        if parsed is None:
            self._hand_over(data)
            return
        message, self._rest = parsed
        rooms.answering.add(self)
        self.task = rooms.loop.create_task(self._answer(Visitor(self, message)))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Nobody is there any more; who works on an answer finds that out."""
        self._rooms.waiting.pop(self, None)
        self.transport = None

    def abort(self) -> None:
        """Ends the connection."""
        if self.transport is not None:
            self.transport.abort()

    def take_over(self) -> tuple[asyncio.Transport, bytes]:
        """As the visitor's."""
        transport, self.transport = self.transport, None
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        if not transport.is_reading():
            transport.resume_reading()
        return transport, self._rest or b""

    async def _answer(self, visitor: Visitor) -> None:
        try:
            response = await self._rooms.answer(visitor)
            if response is not None and self.transport is not None:
                self.transport.write(_whole(response))
                rest = self._rest or b""
                if not self.transport.is_reading():
                    self.transport.resume_reading()
                self._hand_over(rest)  # the next request of this connection
        except ConnectionError:
            self.abort()
        except Exception as error:  # noqa: BLE001 - whatever it was, nobody waits for an answer that will not come
            _log.error("handshake_failed", exception=safe_traceback(error))
            self.abort()
        finally:
            self._rooms.answering.discard(self)
            self.task = None

    def _hand_over(self, data: bytes) -> None:
        transport, self.transport = self.transport, None
        if transport is None or transport.is_closing():
            return
        protocol = self._rooms.server()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if data:
            protocol.data_received(data)


def _whole(response: web.StreamResponse) -> bytes:
    body = response.body if isinstance(response, web.Response) else None
    body = body if isinstance(body, bytes) else b""
    response.headers["Content-Length"] = str(len(body))
    response.headers["Date"] = formatdate(usegmt=True)
    return head(response.status, response.reason, response.headers) + body


def head(status: int, reason: str | None, headers: Mapping[str, str]) -> bytes:
    """The bytes of an answer's head."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    return f"HTTP/1.1 {status} {reason}\r\n{lines}\r\n".encode()
