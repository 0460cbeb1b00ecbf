"""Traces carry on, and neither logs nor traces hold what is private."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

from servicekit import telemetry
from servicekit.tracefile import file_processor

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_span_begun_under_a_traceparent_belongs_to_its_trace(spans: list[ReadableSpan]) -> None:
    with telemetry.attach_traceparent(PARENT), telemetry.tracer().start_as_current_span("inside"):
        current = telemetry.current_traceparent()
    assert current is not None
    assert current.split("-")[1] == PARENT.split("-")[1]
    assert current != PARENT
    assert spans[0].parent is not None
    assert trace.format_span_id(spans[0].parent.span_id) == PARENT.split("-")[2]
    assert telemetry.current_traceparent() is None


@pytest.mark.parametrize("malformed", [None, "", "garbage", "00-0-0-0", PARENT[:-4], "\r\nx: y"])
def test_a_malformed_traceparent_begins_a_trace_of_its_own(malformed: str | None) -> None:
    with telemetry.attach_traceparent(malformed):
        assert telemetry.current_traceparent() is None


def test_a_malformed_traceparent_does_not_inherit_the_surrounding_trace() -> None:
    with telemetry.tracer().start_as_current_span("surrounding"), telemetry.attach_traceparent("garbage"):
        assert telemetry.current_traceparent() is None


def test_the_trace_around_is_restored() -> None:
    with telemetry.tracer().start_as_current_span("surrounding"):
        before = telemetry.current_traceparent()
        with telemetry.attach_traceparent(PARENT):
            assert telemetry.current_traceparent() == PARENT
        assert telemetry.current_traceparent() == before


@pytest.mark.parametrize("request_id", [None, "", "a b", "x" * 65, "a\n", "é", '"'])
async def test_a_request_id_that_could_break_a_log_line_is_ignored(request_id: str | None) -> None:
    telemetry.bind_request_id(request_id)
    assert telemetry.current_request_id() is None


async def test_a_request_id_is_bound_to_its_task() -> None:
    telemetry.bind_request_id("req-1.a_B")
    assert telemetry.current_request_id() == "req-1.a_B"


def test_a_traceback_names_types_and_places_and_no_text() -> None:
    def inner() -> None:
        raise KeyError("private words")

    try:
        try:
            inner()
        except KeyError as error:
            raise ValueError("more private words") from error
    except ValueError as error:
        text = telemetry.safe_traceback(error)
    assert "builtins.ValueError" in text
    assert "builtins.KeyError" in text
    assert "in inner" in text
    assert "caused by" in text
    assert "test_telemetry.py" in text
    # The source line is shown, the value of what was raised is not.
    assert text.count("private words") == 2, "only the two source lines of this test"


def test_a_chain_of_errors_that_bites_its_tail_ends() -> None:
    one, two = ValueError(), ValueError()
    one.__cause__, two.__cause__ = two, one
    assert telemetry.safe_traceback(one).count("ValueError") == 2


def test_spans_are_appended_to_a_file_as_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "traces.jsonl"
    for service in ("one", "two"):
        provider = TracerProvider(resource=Resource.create({"service.name": service}))
        provider.add_span_processor(file_processor(path))
        tracer = provider.get_tracer("test")
        with tracer.start_as_current_span("outer"), tracer.start_as_current_span("inner") as inner:
            inner.set_attribute("n", 1)
        provider.shutdown()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["service"], line["name"]) for line in lines] == [
        ("one", "inner"),
        ("one", "outer"),
        ("two", "inner"),
        ("two", "outer"),
    ]
    assert lines[0]["parent_id"] == lines[1]["span_id"]
    assert lines[0]["trace_id"] == lines[1]["trace_id"] != lines[2]["trace_id"]
    assert lines[0]["attributes"] == {"n": 1}
    assert lines[1]["parent_id"] is None
