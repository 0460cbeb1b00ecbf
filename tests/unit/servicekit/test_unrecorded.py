"""Spans that go nowhere: they cost little and still name the trace."""

from __future__ import annotations

import pytest
from opentelemetry import trace

from servicekit import telemetry
from servicekit.unrecorded import UnrecordedTracerProvider

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def tracer() -> trace.Tracer:
    return UnrecordedTracerProvider().get_tracer("test")


def test_the_first_span_begins_a_trace_and_those_inside_belong_to_it(tracer: trace.Tracer) -> None:
    with tracer.start_as_current_span("outer", kind=trace.SpanKind.SERVER, attributes={"a": 1}) as outer:
        told = telemetry.current_traceparent()
        assert outer.get_span_context().is_valid
        assert not outer.is_recording()
        with tracer.start_as_current_span("inner") as inner:
            inner.set_attribute("b", 2)
            assert telemetry.current_traceparent() == told
        assert telemetry.current_traceparent() == told
    assert telemetry.current_traceparent() is None
    with tracer.start_as_current_span("another"):
        assert telemetry.current_traceparent() not in (None, told)


def test_a_trace_that_came_goes_on_as_it_came(tracer: trace.Tracer) -> None:
    with telemetry.attach_traceparent(PARENT):
        with tracer.start_as_current_span("outer"):
            assert telemetry.current_traceparent() == PARENT
        assert tracer.start_span("alone").get_span_context().span_id == int(PARENT.split("-")[2], 16)


def test_an_error_inside_passes_and_the_trace_around_is_restored(tracer: trace.Tracer) -> None:
    with pytest.raises(ZeroDivisionError), tracer.start_as_current_span("outer"):
        raise ZeroDivisionError
    assert telemetry.current_traceparent() is None


def test_a_span_of_another_context_is_taken_from_there(tracer: trace.Tracer) -> None:
    with tracer.start_as_current_span("around"), telemetry.attach_traceparent(PARENT):
        elsewhere = trace.set_span_in_context(trace.get_current_span())
    with tracer.start_as_current_span("around"), tracer.start_as_current_span("inside", context=elsewhere):
        assert telemetry.current_traceparent() == PARENT
