"""The HTTP server, with the contract's answer also to what is no HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import structlog
from aiohttp import web

from edge_gateway import problems
from edge_gateway.http.door import Door
from edge_gateway.http.exchange import Exchange
from edge_gateway.http.front import Front
from edge_gateway.http.rooms import Answer, Rooms
from servicekit.errors import Reason
from servicekit.ids import new_id_text

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
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
        response = exchange.finish(exchange.problem(wrong)).for_server()
        response.force_close()
        return response


class _Server(web.Server):
    """At its doors `answer` is given, else `handler`'s."""

    def __init__(self, handler: Handler, answer: Answer, path: str, max_body: int, **options: Any) -> None:
        super().__init__(handler, **options)
        self._rooms = Rooms(
            path,
            answer,
            self._protocol,
            max_field=options["max_field_size"],
            max_body=max_body,
            idle_s=options["keepalive_timeout"],
        )

    def __call__(self) -> web.RequestHandler:
        return cast("web.RequestHandler", Door(self._rooms))  # whose place it takes

    def _protocol(self) -> _Protocol:
        return _Protocol(self, loop=self._loop, **self._kwargs)

    def pre_shutdown(self) -> None:
        """Ends what has nothing in work."""
        self._rooms.close_waiting()
        super().pre_shutdown()

    async def shutdown(self, timeout: float | None = None) -> None:
        """Waits so long for what is in work."""
        await self._rooms.close(timeout or 0.0)
        await super().shutdown(timeout)


class HttpServer:
    """Listens on one address, for one front. `upgrades`: the path that does."""

    def __init__(
        self,
        front: Front,
        host: str,
        port: int,
        *,
        upgrades: str = "",
        max_body: int = 64 * 1024,
        shutdown_s: float = 5.0,
    ) -> None:
        server = _Server(
            front.handle,
            front.receive,
            upgrades,
            max_body,
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
