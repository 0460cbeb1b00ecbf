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
        span = trace.get_current_span(context)
        return span if span.get_span_context().is_valid else trace.NonRecordingSpan(_new_trace())

    def start_as_current_span(  # type: ignore[override]  # a context manager, as the API's decorated method is
        self, name: str, context: otel_context.Context | None = None, *_: Any, **__: Any
    ) -> AbstractContextManager[trace.Span]:
        span = self.start_span(name, context)
        return nullcontext(span) if context is None and span is trace.get_current_span() else _Current(span)


class _Current(AbstractContextManager[trace.Span]):
    __slots__ = ("_span", "_token")

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def __enter__(self) -> trace.Span:
        self._token = otel_context.attach(trace.set_span_in_context(self._span))
        return self._span

    def __exit__(self, *_: object) -> None:
        otel_context.detach(self._token)


def _new_trace() -> trace.SpanContext:
    # Not the operating system's randomness: ids name, they protect nothing.
    trace_id, span_id = random.getrandbits(128), random.getrandbits(64)
    return trace.SpanContext(trace_id or 1, span_id or 1, is_remote=False)
