"""The HTTP server, with the contract's answer also to what is no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from edge_gateway import problems
from edge_gateway.http.exchange import Exchange
from servicekit.errors import Reason
from servicekit.ids import new_id_text

_log = structlog.get_logger("edge_gateway.http")
_BACKLOG = 4096


class _Protocol(web.RequestHandler):
    __slots__ = ()

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
        response = exchange.finish(exchange.problem(wrong))
        response.force_close()
        return response


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


def take_over(request: web.BaseRequest) -> tuple[asyncio.Transport, bytes]:
    """Takes the connection of an upgraded request away from the HTTP server, with the bytes behind its head.

    To the server the connection is lost: its parser, buffers and task go with the request. Raises
    ConnectionResetError when the client is gone.
    """
    protocol, transport = request.protocol, request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError
    rest = protocol._message_tail
    protocol.transport = None  # so that it does not close it
    protocol.connection_lost(None)
    if not transport.is_reading():
        transport.resume_reading()  # the server had stopped it: nobody took the bytes behind the head
    return transport, rest


def head_of(response: web.StreamResponse) -> bytes:
    """The bytes of an answer's head: for who writes it in one with what comes behind it."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
    return f"HTTP/1.1 {response.status} {response.reason}\r\n{lines}\r\n".encode()


class HttpServer:
    """Listens on one address."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        host: str,
        port: int,
        *,
        shutdown_s: float = 5.0,
    ) -> None:
        server = _Server(
            handler,
            access_log=None,
            keepalive_timeout=75.0,  # longer than a proxy keeps an idle connection
            auto_decompress=False,  # a compressed body is refused, not unpacked
            lingering_time=2.0,
            max_field_size=16 * 1024,  # an access token and its name
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=shutdown_s)
        self._host = host
        self._port = port

    async def start(self) -> int:
        """Binds and listens; returns the port. Raises OSError when it is taken."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port, backlog=_BACKLOG).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stops listening, lets requests in work finish, ends connections."""
        await self._runner.cleanup()
