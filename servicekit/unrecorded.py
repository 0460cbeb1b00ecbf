"""Traces without records, for a process whose spans go nowhere: ids, for logs and for those it calls.

The SDK with a sampler that drops everything takes a span's whole way all the same.
"""

from __future__ import annotations

import random
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace


class UnrecordedTracerProvider(trace.TracerProvider):
    """Every tracer of it begins a trace where none is, and leaves the current one as it is elsewhere.

    That is what W3C Trace Context wants of those who take no part: `traceparent` goes on as it came.
    """

    def __init__(self) -> None:
        self._tracer = _Tracer()

    def get_tracer(self, *_: Any, **__: Any) -> trace.Tracer:
        """The one there is."""
        return self._tracer


class _Tracer(trace.Tracer):
    def start_span(
        self,
        name: str,  # noqa: ARG002 - the API's signature
        context: otel_context.Context | None = None,
        *_: Any,
        **__: Any,
    ) -> trace.Span:
        return _stands(trace.get_current_span(context)) or Beginning()

    def start_as_current_span(  # type: ignore[override]  # a context manager, as the API's decorated method is
        self, name: str, context: otel_context.Context | None = None, *_: Any, **__: Any
    ) -> AbstractContextManager[trace.Span]:
        current = trace.get_current_span()
        if context is None:
            return nullcontext(current) if _stands(current) else _Current(Beginning())
        span = self.start_span(name, context)
        return nullcontext(span) if span is current else _Current(span)


def _stands(span: trace.Span) -> trace.Span | None:
    """The span, if there is one."""
    if span is trace.INVALID_SPAN:
        return None
    return span if isinstance(span, NamedSpan) or span.get_span_context().is_valid else None


class NamedSpan(trace.NonRecordingSpan):
    """A span of which the traceparent, valid and of version 00, is known.

    Its context is made when it is asked for: by a log line, a link, or a span that is recorded.
    """

    def __init__(self, traceparent: str, *, is_remote: bool) -> None:
        self.traceparent = traceparent
        self._is_remote = is_remote

    def get_span_context(self) -> trace.SpanContext:
        """As the traceparent says."""
        _, trace_id, span_id, flags = self.traceparent.split("-")
        return trace.SpanContext(
            int(trace_id, 16), int(span_id, 16), self._is_remote, trace.TraceFlags(int(flags, 16))
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.traceparent!r})"


class Beginning(NamedSpan):
    """The first span of a trace: not recorded, and begun here."""

    def __init__(self) -> None:
        ids = random.randbytes(24).hex()  # noqa: S311 - ids name, they protect nothing
        super().__init__(f"00-{ids[:32]}-{ids[32:]}-00", is_remote=False)


class _Current(AbstractContextManager[trace.Span]):
    __slots__ = ("_span", "_token")

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def __enter__(self) -> trace.Span:
        self._token = otel_context.attach(trace.set_span_in_context(self._span))
        return self._span

    def __exit__(self, *_: object) -> None:
        otel_context.detach(self._token)
