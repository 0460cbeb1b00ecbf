"""What was traced: one tracer provider for the session, whose spans a test may collect."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider


class Recorder(SpanProcessor):
    """Keeps the spans that end while a test collects them."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] | None = None

    def on_end(self, span: ReadableSpan) -> None:
        if self.spans is not None:
            self.spans.append(span)


_recorder = Recorder()


@pytest.fixture(scope="session", autouse=True)
def _provider() -> None:
    # A provider can be set once a process; `telemetry.setup` leaves this one in place.
    provider = TracerProvider()
    provider.add_span_processor(_recorder)
    trace.set_tracer_provider(provider)


@pytest.fixture
def spans() -> Iterator[list[ReadableSpan]]:
    """Spans that ended so far in this test."""
    _recorder.spans = []
    yield _recorder.spans
    _recorder.spans = None
