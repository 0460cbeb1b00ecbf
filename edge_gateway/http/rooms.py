"""What the doors of one server lead to, how requests are read there, and who waits at them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from aiohttp.http import HttpVersion11
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD

from edge_gateway.http.door import Door
from edge_gateway.http.patience import Patience
from edge_gateway.http.reply import Reply
from edge_gateway.http.visitor import Visitor

_HEAD_ENDS = b"\r\n\r\n"
_EMPTY = (b"\r", b"\n")
_BUFFER = 64 * 1024
"""Of a parser from which no body is read: it holds nothing up."""
_PIECES_S = 1.0
"""Not a setting: nothing is refused then. Who takes longer costs a task, and has the server's time for it."""

Answer = Callable[[Visitor], Awaitable[Reply | None]]
"""Answers a request: None when it has taken the connection over. Raises ConnectionError when the client is
gone."""


@dataclass(slots=True)
class Read:
    """A request whose head is here. `body_at`: where its body begins; `size`: bytes of both."""

    message: RawRequestMessage
    body_at: int
    size: int


class Rooms:
    """Of one server.

    `path`: of the one address that upgrades. `server` makes the protocol for what is not answered at a door.
    `max_field`: bytes of a header; `max_body`: of a body; `max_ahead`: that may come before the request in
    work is answered. `idle_s`: how long a connection may say nothing; `pieces_s`: how long the rest of a body
    is waited for here, until the HTTP server waits for it.
    """

    def __init__(
        self,
        path: str,
        answer: Answer,
        server: Callable[[], asyncio.Protocol],
        *,
        max_field: int,
        max_body: int,
        max_ahead: int,
        idle_s: float,
        pieces_s: float = _PIECES_S,
    ) -> None:
        # Another path may begin as this one does: what comes behind it says that it ends here.
        self._upgrades = (f"GET {path} ".encode(), f"GET {path}?".encode())
        self.answer = answer
        self.server = server
        self.loop = asyncio.get_running_loop()
        self.closing = False
        self.waiting: Patience[Door] = Patience(idle_s, Door.stand_idle)
        """Those of which nothing is to be answered."""
        self.unfinished: Patience[Door] = Patience(pieces_s, Door.give_up)
        """Those whose body is not all here."""
        self.answering: set[Door] = set()
        self.leaving: dict[Door, asyncio.Future[None]] = {}
        """Those that are closed and whose answer is still to be read; each ends when its connection does."""
        self._max_field = max_field
        self._max_body = max_body
        self.max_ahead = max_ahead
        self._parser: HttpRequestParser | None = None

    def read(self, data: bytes) -> Read | None:
        """A request that is plain; None for all others, and when more than its body is missing.

        Plain is HTTP/1.1 without Expect, codings of transfer and the end of the connection.
        """
        head_ends = data.find(_HEAD_ENDS)
        # The parser passes over empty lines before a request: the first end would not be that of its head.
        if head_ends < 0 or data.startswith(_EMPTY):
            return None
        # The parser serves all connections, one whole request after the other. Left in the middle of
        # one, or having refused one, it is not used again.
        parser, self._parser = self._parser or self._new_parser(), None
        try:
            messages, upgraded, _ = parser.feed_data(data)
        except HttpProcessingError:
            return None  # the server finds the same, and has an answer to it
        if len(messages) != 1:
            return None
        message, payload = messages[0]
        body_at = head_ends + len(_HEAD_ENDS)
        if (
            message.should_close
            or message.chunked
            or message.version != HttpVersion11
            or message.url.absolute
            or "Expect" in message.headers
        ):
            return None
        if upgraded or message.upgrade:
            if not (upgraded and payload is EMPTY_PAYLOAD and data.startswith(self._upgrades)):
                return None
            return Read(message, body_at, len(data))
        length = 0 if payload is EMPTY_PAYLOAD else int(message.headers["Content-Length"])
        if length > self._max_body:
            return None
        if body_at + length == len(data):
            self._parser = parser
        return Read(message, body_at, body_at + length)

    def _new_parser(self) -> HttpRequestParser:
        return HttpRequestParser(
            cast("Any", _Unread()),
            self.loop,
            _BUFFER,
            max_field_size=self._max_field,
            auto_decompress=False,
        )

    def close_waiting(self) -> None:
        """Ends connections that have nothing in work, and from now on each with its answer."""
        self.closing = True
        for door in (*self.waiting, *self.unfinished):
            door.close()
        self.waiting.close()
        self.unfinished.close()

    async def close(self, seconds: float) -> None:
        """Waits for those that are answering or whose answers are read; ends what is left after so long."""
        until = self.loop.time() + seconds
        tasks = [door.task for door in self.answering if door.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()
        if self.leaving:
            await asyncio.wait(self.leaving.values(), timeout=max(0.0, until - self.loop.time()))
        for door in (*self.answering, *self.leaving):
            door.abort()


class _Unread:
    """To whom the parser says whether a body comes too fast: it is not read from the parser."""

    def pause_reading(self) -> None:
        """No more comes than was given."""

    def resume_reading(self, *, resume_parser: bool = True) -> None:
        """Nothing was stopped."""
