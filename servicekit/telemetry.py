"""Logs and traces: JSON lines on stdout, spans by OpenTelemetry, one trace id through all of it.

Neither ever holds a message's body or a token: errors are logged by their type and place, not by their text
(a driver's text quotes the row it failed on), and anything that looks like a JWT is struck out.
"""

import logging
import re
import sys
import traceback
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson
import structlog
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from servicekit.settings import TelemetrySettings
from servicekit.unrecorded import NamedSpan, UnrecordedTracerProvider

TRACEPARENT = "traceparent"
REQUEST_ID = "x-request-id"
"""gRPC metadata keys that carry the trace and the request."""

_PROPAGATOR = TraceContextTextMapPropagator()
_ORDINARY = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""What everybody says today; the propagator knows the rest, in twice the time."""
_JWT = re.compile(r"eyJ[\w-]{6,}\.[\w-]{2,}\.[\w-]*")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_request_id: ContextVar[str | None] = ContextVar("chat_request_id", default=None)


def setup(service_name: str, settings: TelemetrySettings) -> None:
    """Configures logs and traces of this process; once, before anything else.

    A tracer provider that is already installed (by a test) is left as it is.
    """
    _setup_logs(service_name, settings)
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        trace.set_tracer_provider(_tracer_provider(service_name, settings))


def tracer() -> trace.Tracer:
    """The tracer of this project's own spans."""
    return _tracer_of(trace.get_tracer_provider())


@lru_cache(maxsize=1)
def _tracer_of(provider: trace.TracerProvider) -> trace.Tracer:
    # Remembered, since making one costs as much as a span: until a test installs another provider.
    return provider.get_tracer("splits-chat")


def current_traceparent() -> str | None:
    """The W3C `traceparent` of the current span; None when there is none."""
    return traceparent_of(trace.get_current_span())


def traceparent_of(span: trace.Span) -> str | None:
    """The W3C `traceparent` of a span; None when it is none."""
    if isinstance(span, NamedSpan):
        return span.traceparent
    named = span.get_span_context()
    if not named.is_valid:
        return None
    return f"00-{named.trace_id:032x}-{named.span_id:016x}-{named.trace_flags:02x}"


class attach_traceparent:  # noqa: N801 - used as the function that it is to its callers
    """Makes the span that `traceparent` names the parent of spans begun inside; ignores a malformed one."""

    __slots__ = ("_token", "_traceparent")

    def __init__(self, traceparent: str | None) -> None:
        self._traceparent = traceparent

    def __enter__(self) -> None:
        self._token: Token[otel_context.Context] | None = None
        given = self._traceparent
        if not given:
            return
        if _ORDINARY.fullmatch(given):
            span = NamedSpan(given, is_remote=True)
            inside = trace.set_span_in_context(span, otel_context.Context())
        else:
            inside = _PROPAGATOR.extract({TRACEPARENT: given}, context=otel_context.Context())
        self._token = otel_context.attach(inside)

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            otel_context.detach(self._token)


def bind_request_id(request_id: str | None) -> None:
    """Names the request that the current task works on, in its log lines and the calls it makes.

    Anything but 1-64 characters of `A-Za-z0-9._-` is ignored.
    """
    if request_id is not None and _REQUEST_ID.fullmatch(request_id):
        _request_id.set(request_id)


def current_request_id() -> str | None:
    """The request that the current task works on."""
    return _request_id.get()


def safe_traceback(error: BaseException) -> str:
    """Where an error arose, without its text: types, files, lines and functions."""
    parts: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        frames = traceback.format_tb(current.__traceback__)[-20:]
        code = getattr(current, "sqlstate", None)
        name = f"{type(current).__module__}.{type(current).__qualname__}"
        parts.append("".join(frames) + (f"{name} [{code}]" if isinstance(code, str) else name))
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\ncaused by:\n".join(parts)


def _tracer_provider(service_name: str, settings: TelemetrySettings) -> trace.TracerProvider:
    endpoint, file = settings.otel_exporter_otlp_endpoint, settings.otel_traces_file
    if endpoint is None and file is None:
        return UnrecordedTracerProvider()
    provider = TracerProvider(resource=Resource.create({"service.name": service_name}))
    if endpoint is not None:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415 - slow to import
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - so is this

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    if file is not None:
        from servicekit.tracefile import file_processor  # noqa: PLC0415 - in development only

        provider.add_span_processor(file_processor(file))
    return provider


def _setup_logs(service_name: str, settings: TelemetrySettings) -> None:
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]

    def stamp(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        return {
            "ts": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "service": service_name,
            **event,
        }

    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        stamp,
        _add_ids,
        _place_of_exception,
        _strike_tokens,
    ]
    renderer: structlog.typing.Processor
    if settings.log_format == "json":
        renderer = structlog.processors.JSONRenderer(serializer=_to_json)
    else:
        renderer = structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stdout),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(_without_error_texts)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Libraries speak up only when something is wrong; what is normal is logged by us.
    root.setLevel(max(level, logging.WARNING))


def _without_error_texts(record: logging.LogRecord) -> bool:
    """Names errors in a library's message by their type; asyncio quotes them in the lines after the first."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            type(value).__name__ if isinstance(value, BaseException) else value for value in record.args
        )
    if record.exc_info:
        record.msg, record.args = record.getMessage().partition("\n")[0], ()
    return True


def _add_ids(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = trace.format_trace_id(span.trace_id)
        event["span_id"] = trace.format_span_id(span.span_id)
    request_id = _request_id.get()
    if request_id is not None:
        event["request_id"] = request_id
    return event


def _place_of_exception(
    _logger: Any, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    given = event.pop("exc_info", None)
    if not given:
        return event
    if isinstance(given, BaseException):
        error: BaseException | None = given
    elif isinstance(given, tuple):
        error = given[1]
    else:
        error = sys.exc_info()[1]
    if error is not None:
        event["exception"] = safe_traceback(error)
    return event


def _strike_tokens(
    _logger: Any, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    for key, value in event.items():
        if isinstance(value, str) and "eyJ" in value:
            event[key] = _JWT.sub("[token]", value)
    return event


def _to_json(event: Any, **_options: Any) -> str:
    return orjson.dumps(event, default=lambda value: f"<{type(value).__name__}>").decode("utf-8", "replace")
