"""Every request passes here: it gets its id and its span, finds its endpoint, and whatever happens becomes an
answer of the contract."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import NoReturn

import structlog
from aiohttp import web
from opentelemetry import trace

from edge_gateway import problems
from edge_gateway.http import cors
from edge_gateway.http.exchange import Exchange, request_id_of
from edge_gateway.http.reply import Reply
from edge_gateway.http.router import Found, NoSuchMethod, Router
from edge_gateway.http.visitor import Visitor
from edge_gateway.metrics import Metrics
from servicekit import telemetry
from servicekit.errors import ChatError, Reason

_log = structlog.get_logger("edge_gateway.http")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Upgraded:
    """The connection has another protocol from here on."""


UPGRADED = Upgraded()


class _Gone(web.StreamResponse):
    """The answer to a request whose connection has another protocol: to the HTTP server it is lost."""

    async def prepare(self, request: web.BaseRequest) -> NoReturn:  # noqa: ARG002 - aiohttp's signature
        """There is nobody to answer."""
        raise ConnectionResetError


Endpoint = Callable[[Exchange, Mapping[str, str]], Awaitable[Reply | Upgraded]]


class Front:
    """The handler of an HTTP server. Without `metrics` it neither counts nor logs what it answers."""

    def __init__(
        self,
        routes: Iterable[tuple[str, str, Endpoint]],
        *,
        origins: Collection[str] = (),
        metrics: Metrics | None = None,
    ) -> None:
        self._router = Router(routes)
        self._origins = frozenset(origins)
        self._metrics = metrics
        # Bound here, so that a line that is not logged costs no more than a call.
        self._log = _log.bind()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request, from its head to its answer."""
        outcome = await self._traced(Exchange(request, request_id_of(request)))
        return _Gone() if isinstance(outcome, Upgraded) else outcome.for_server()

    async def receive(self, visitor: Visitor) -> Reply | None:
        """The same for what is answered at a door; None when the connection was upgraded."""
        outcome = await self._traced(Exchange(visitor, request_id_of(visitor)))
        return None if isinstance(outcome, Upgraded) else outcome

    async def _traced(self, exchange: Exchange) -> Reply | Upgraded:
        request, started = exchange.request, time.perf_counter()
        telemetry.bind_request_id(exchange.request_id)
        found = self._router.find(request.method, request.rel_url.raw_path)
        if found is not None:
            exchange.template = found.template
        exchange.headers |= cors.answer_headers(request.headers.get("Origin"), self._origins)
        method = request.method if request.method in _METHODS else "OTHER"
        with (
            telemetry.attach_traceparent(request.headers.get("traceparent")),
            telemetry.tracer().start_as_current_span(
                f"{method} {exchange.template}",
                kind=trace.SpanKind.SERVER,
                attributes={"http.request.method": method, "http.route": exchange.template},
                record_exception=False,
                set_status_on_exception=False,
            ) as span,
        ):
            exchange.traceparent = telemetry.traceparent_of(span)
            outcome = await self._answer(exchange, found)
            status = 101 if isinstance(outcome, Upgraded) else exchange.finish(outcome).status
            span.set_attribute("http.response.status_code", status)
            if status >= 500:
                span.set_status(trace.StatusCode.ERROR)
            self._note(exchange.template, method, status, time.perf_counter() - started)
            return outcome

    def _note(self, route: str, method: str, status: int, seconds: float) -> None:
        if self._metrics is None:
            return
        self._metrics.answered.note(route, method, status, seconds)
        log = self._log.warning if status >= 500 else self._log.debug
        log("request", method=method, route=route, status=status, ms=round(seconds * 1000, 1))

    async def _answer(
        self, exchange: Exchange, found: Found[Endpoint] | NoSuchMethod | None
    ) -> Reply | Upgraded:
        try:
            if found is None:
                raise problems.not_found()
            if isinstance(found, NoSuchMethod):
                return self._other_method(exchange, found)
            return await found.endpoint(exchange, found.params)
        except problems.ProblemError as error:
            return exchange.problem(error.problem)
        except ChatError as error:
            if error.reason is Reason.INTERNAL:
                _log.error("service_failed", route=exchange.template)
            return exchange.problem(problems.of(error))
        except TimeoutError:
            return exchange.problem(problems.problem(Reason.UNAVAILABLE))
        except Exception as error:
            transport = exchange.request.transport
            if isinstance(error, ConnectionError) and (transport is None or transport.is_closing()):
                raise  # the client is gone: nobody is left to answer
            _log.error("handler_failed", route=exchange.template, exception=telemetry.safe_traceback(error))
            return exchange.problem(problems.problem(Reason.INTERNAL))

    def _other_method(self, exchange: Exchange, found: NoSuchMethod) -> Reply:
        headers = exchange.request.headers
        allow = {"Allow": ", ".join(found.allowed)}
        if exchange.request.method != "OPTIONS":
            return exchange.problem(problems.problem(problems.METHOD_NOT_ALLOWED), allow)
        if "Origin" not in headers or "Access-Control-Request-Method" not in headers:
            return Reply(204, headers=allow)
        if headers["Origin"] not in self._origins:
            wrong = problems.problem(Reason.FORBIDDEN, detail="This origin is not allowed.")
            return exchange.problem(wrong)
        return Reply(204, headers=cors.preflight_headers(found.allowed))
