"""The publish spans: each event's is a child of the trace that the event was made in."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, use_span

from servicekit.telemetry import attach_traceparent, current_traceparent, tracer


class _Traced(Protocol):
    name: str
    traceparent: str | None


def is_sampled(traceparent: str | None) -> bool:
    """Whether somebody records the trace."""
    # The flags are the last two hexadecimal digits, the lowest bit says "sampled".
    return traceparent is not None and traceparent[-1:] in "13579bdf"


@contextmanager
def publish_spans(name: str, events: Sequence[_Traced]) -> Iterator[list[str | None]]:
    """Spans called `name` around the publishing of a batch, for those events whose trace is recorded.

    Yields for each event the traceparent to send along: its publish span's, else its own.
    """
    spans: list[Span] = []
    traceparents = [event.traceparent for event in events]
    for place, traceparent in enumerate(traceparents):
        if not is_sampled(traceparent):
            continue
        event = events[place]
        with attach_traceparent(traceparent):
            span = tracer().start_span(
                name, kind=SpanKind.PRODUCER, attributes={"messaging.operation.name": event.name}
            )
        spans.append(span)
        with use_span(span):
            traceparents[place] = current_traceparent()
    try:
        yield traceparents
    except BaseException as error:
        for span in spans:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(Status(StatusCode.ERROR))
        raise
    finally:
        for span in spans:
            span.end()
