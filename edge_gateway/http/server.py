"""The HTTP server, with the contract's answer also to what is no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

import structlog
from aiohttp import StreamReader, web

from edge_gateway import problems
from edge_gateway.http.door import Door
from edge_gateway.http.exchange import Exchange
from edge_gateway.http.front import Front
from edge_gateway.http.patience import Patience
from edge_gateway.http.rooms import Answer, Rooms
from servicekit.errors import Reason
from servicekit.ids import new_id_text

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
_log = structlog.get_logger("edge_gateway.http")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of every connection; times in seconds, sizes in bytes."""

    idle_s: float
    """For which it may ask nothing, or not read its answer."""
    linger_s: float
    """For the rest of a body that was refused before it had all come."""
    drain_s: float
    """At the end, for what is in work."""
    max_header: int
    max_ahead: int
    """Before the request in work is answered."""
    max_body: int
    backlog: int
    """Connections that wait to be accepted."""


class _Protocol(web.RequestHandler):
    """A connection that is the server's. `slow`: those who do not read what waits for them."""

    __slots__ = ("_answered", "_body", "_connection", "_ended", "_slow")

    def __init__(self, server: _Server, slow: Patience[_Protocol], **options: Any) -> None:
        super().__init__(server, **options)
        self._slow = slow
        self._connection: asyncio.Transport | None = None
        self._answered = 0
        """Of `_request_count`, those that came."""
        self._body: StreamReader | None = None
        """Of the latest request."""
        self._ended = False
        """The client says no more."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is served from here on; once that is over it is closed, and may still wait to be read."""
        super().connection_made(transport)
        self._connection = self.transport
        if self._task_handler is not None:
            self._task_handler.add_done_callback(self._wait_for_reader)

    def data_received(self, data: bytes) -> None:
        """Requests, or pieces of them."""
        super().data_received(data)
        if self._messages:
            self._body = self._messages[-1][1]

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp's own never waits
        """As the door's: whole requests are answered, the rest of a body is not waited for."""
        waits = self._answered < self._request_count and not self._upgraded
        if not waits or self._body is None or not self._body.is_eof():
            return False
        self._ended = True
        return True

    async def _handle_request(self, *request: Any) -> tuple[web.StreamResponse, bool]:
        try:
            return await super()._handle_request(*request)
        finally:
            self._answered += 1
            if self._ended and self._answered == self._request_count:
                self.close()

    def pause_writing(self) -> None:
        """The client does not read."""
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        """They do again."""
        super().resume_writing()
        # One that is closed already is not given the time again: they may stop reading once more.
        if self._connection is not None and not self._connection.is_closing():
            self._slow.end(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Nobody is there any more, or the connection has another protocol."""
        self._connection = None
        self._slow.end(self)
        super().connection_lost(exc)

    async def shutdown(self, timeout: float | None = None) -> None:
        """Waits for what is in work, and for the second half of the time without the rest of its body."""
        await super().shutdown((timeout or 0.0) / 2)

    def cut_off(self) -> None:
        """They have not read for too long."""
        if self._connection is not None:
            self._connection.abort()

    def _wait_for_reader(self, _over: object = None) -> None:
        if self._connection is not None and self not in self._slow:
            self._slow.begin(self)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's signature
    ) -> web.StreamResponse:
        """A request that could not be read (what else fails is answered before it gets here)."""
        if isinstance(exc, ConnectionError):
            raise exc  # the client is gone: the server ends the connection without a word
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun")
        exchange = Exchange(request, new_id_text())
        if status >= 500:
            _log.error("answer_failed", error=type(exc).__name__)
            wrong = problems.problem(Reason.INTERNAL)
        else:
            _log.info("http_malformed", error=type(exc).__name__)
            wrong = problems.invalid("", "http", "is not a well-formed HTTP request").problem
        response = exchange.finish(exchange.problem(wrong)).for_server()
        response.force_close()
        return response


class _Server(web.Server):
    """At its doors `answer` is given, else `handler`'s."""

    def __init__(self, handler: Handler, answer: Answer, path: str, bounds: Bounds) -> None:
        super().__init__(
            handler,
            access_log=None,
            keepalive_timeout=bounds.idle_s,
            auto_decompress=False,  # a compressed body is refused, not unpacked
            lingering_time=bounds.linger_s,
            max_field_size=bounds.max_header,
            # 8190 bytes of a request line and 128 headers are aiohttp's own bounds, here and at the doors.
        )
        self._rooms = Rooms(
            path,
            answer,
            self._protocol,
            max_field=bounds.max_header,
            max_body=bounds.max_body,
            max_ahead=bounds.max_ahead,
            idle_s=bounds.idle_s,
        )
        self._slow: Patience[_Protocol] = Patience(bounds.idle_s, _Protocol.cut_off)

    def __call__(self) -> web.RequestHandler:
        return cast("web.RequestHandler", Door(self._rooms))  # whose place it takes

    def _protocol(self) -> _Protocol:
        return _Protocol(self, self._slow, loop=self._loop, **self._kwargs)

    def pre_shutdown(self) -> None:
        """Ends what has nothing in work."""
        self._rooms.close_waiting()
        super().pre_shutdown()

    async def shutdown(self, timeout: float | None = None) -> None:
        """Waits so long for what is in work."""
        await asyncio.gather(self._rooms.close(timeout or 0.0), super().shutdown(timeout))
        self._slow.close()


class HttpServer:
    """Listens on one address, for one front. `upgrades`: the path that does."""

    def __init__(self, front: Front, host: str, port: int, bounds: Bounds, *, upgrades: str = "") -> None:
        server = _Server(front.handle, front.receive, upgrades, bounds)
        self._runner = web.ServerRunner(server, shutdown_timeout=bounds.drain_s)
        self._backlog = bounds.backlog
        self._host = host
        self._port = port

    async def start(self) -> int:
        """Binds and listens; returns the port. Raises OSError when it is taken."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port, backlog=self._backlog).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stops listening, lets requests in work finish, ends connections."""
        await self._runner.cleanup()
