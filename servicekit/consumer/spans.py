"""The consume spans: each event's goes on with the trace that the event was published in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, use_span

from servicekit.consumer.delivery import Delivery
from servicekit.outbox.spans import is_sampled
from servicekit.telemetry import attach_traceparent, tracer


@contextmanager
def consume_spans(queue: str, batch: Sequence[Delivery]) -> Iterator[None]:
    """Spans around the handling of a batch, for those events whose trace is recorded.

    What is done for an event alone is done inside its own span; for several, beneath none.
    """
    with ExitStack() as stack:
        if len(batch) == 1:
            stack.enter_context(attach_traceparent(batch[0].traceparent))
        spans = [_begin(queue, delivery) for delivery in batch if is_sampled(delivery.traceparent)]
        if len(batch) == 1 and spans:
            current = use_span(spans[0], record_exception=False, set_status_on_exception=False)
            stack.enter_context(current)
        try:
            yield
        except Exception as error:
            for span in spans:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR))
            raise
        finally:
            for span in spans:
                span.end()


def _begin(queue: str, delivery: Delivery) -> Span:
    attributes = {"messaging.system": "rabbitmq", "messaging.destination.name": queue}
    if delivery.message_id is not None:
        attributes["messaging.message.id"] = delivery.message_id
    with attach_traceparent(delivery.traceparent):
        return tracer().start_span(f"consume {queue}", kind=SpanKind.CONSUMER, attributes=attributes)
