"""One trace over every hop, and logs that say what failed without saying what was said."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode
from splits.chat.message.v1 import service_pb2 as rpc

from servicekit import telemetry
from servicekit.errors import ChatError, Reason
from tests.support.forgery import USER
from tests.support.keys import Keys
from tests.support.rpc import SERVICE, calling, serving

REQUEST = rpc.GetUnreadRequest()


async def test_one_trace_joins_every_hop_and_every_span_hangs_under_the_one_before(
    keys: Keys, spans: list[ReadableSpan]
) -> None:
    ids: list[str | None] = []

    async def last() -> rpc.GetUnreadResponse:
        ids.append(telemetry.current_request_id())
        return rpc.GetUnreadResponse()

    async with serving(keys, last) as second, calling(second.target, keys) as inner:

        async def first() -> rpc.GetUnreadResponse:
            return await inner.call(inner.stub.GetUnread, REQUEST, timeout=60, acting=USER)

        async with serving(keys, first) as served, calling(served.target, keys) as outer:
            telemetry.bind_request_id("req-1")
            with telemetry.tracer().start_as_current_span("rest"):
                await outer.call(outer.stub.GetUnread, REQUEST, timeout=60, acting=USER)

    chain = list(reversed(spans))
    name = f"{SERVICE}/GetUnread"
    assert [(span.name, span.kind) for span in chain] == [
        ("rest", SpanKind.INTERNAL),
        (name, SpanKind.CLIENT),
        (name, SpanKind.SERVER),
        (name, SpanKind.CLIENT),
        (name, SpanKind.SERVER),
    ]
    for above, below in pairwise(chain):
        assert below.parent is not None
        assert below.parent.span_id == _context(above).span_id
        assert _context(below).trace_id == _context(above).trace_id
    assert dict(chain[-1].attributes or {}) == {
        "rpc.system": "grpc",
        "rpc.service": SERVICE,
        "rpc.method": "GetUnread",
        "rpc.grpc.status_code": 0,
    }
    assert ids == ["req-1"]


def _context(span: ReadableSpan) -> Any:
    context = span.get_span_context()
    assert context is not None
    return context


@pytest.mark.parametrize(
    ("reason", "status", "number"),
    [(Reason.INTERNAL, StatusCode.ERROR, 13), (Reason.NOT_FOUND, StatusCode.UNSET, 5)],
)
async def test_a_failed_call_shows_in_its_spans_and_a_refusal_is_not_an_error(
    keys: Keys, spans: list[ReadableSpan], reason: Reason, status: StatusCode, number: int
) -> None:
    async def handle() -> rpc.GetUnreadResponse:
        raise ChatError(reason, "private words")

    async with serving(keys, handle) as served, calling(served.target, keys) as client:
        with pytest.raises(ChatError):
            await client.call(client.stub.GetUnread, REQUEST, timeout=60, acting=USER)
    for span in spans:
        assert span.status.status_code is status
        assert (span.attributes or {})["rpc.grpc.status_code"] == number
        assert "private" not in span.to_json()


PROGRAM = """
import asyncio, sys
from pathlib import Path
from splits.chat.message.v1 import message_pb2 as pb, service_pb2 as rpc
from servicekit import telemetry
from servicekit.errors import ChatError
from servicekit.settings import TelemetrySettings
from tests.support.forgery import USER
from tests.support.keys import make_keys
from tests.support.rpc import calling, serving

async def handle():
    raise KeyError("private words of a fault")

async def main():
    telemetry.setup("one_svc", TelemetrySettings())
    keys = make_keys(Path(sys.argv[1]))
    request = rpc.SendMessagesRequest(sends=[rpc.Send(
        acting_user=keys.signer().assertion(USER),
        conversation_id="01890000-0000-7000-8000-000000000000",
        message=pb.NewMessage(client_message_id="a", text="private words of a message"),
    )])
    async with serving(keys, handle) as served, calling(served.target, keys) as client:
        telemetry.bind_request_id("req-1")
        for conversation_id in (request.sends[0].conversation_id, "private words of a field"):
            request.sends[0].conversation_id = conversation_id
            try:
                await client.call(client.stub.SendMessages, request, timeout=60)
            except ChatError as error:
                assert error.reason in ("internal", "validation_failed"), error

asyncio.run(main())
"""


async def test_logs_are_json_lines_with_ids_and_without_bodies_or_tokens(tmp_path: Path) -> None:
    traces = tmp_path / "traces.jsonl"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        str(tmp_path / "keys"),
        env={**os.environ, "OTEL_TRACES_FILE": str(traces), "LOG_FORMAT": "json", "PYTHONPATH": "."},
        cwd=Path(__file__).parents[3],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    lines = [json.loads(line) for line in out.splitlines()]
    by_event = {line["event"]: line for line in lines}
    fault = by_event["handler failed"]
    assert fault["service"] == "one_svc"
    assert fault["request_id"] == "req-1"
    assert fault["level"] == "error"
    assert fault["ts"].endswith("Z")
    assert len(fault["ts"]) == len("2026-01-01T00:00:00.000Z")
    assert "builtins.KeyError" in fault["exception"]
    failed = [line for line in lines if line["event"] == "call failed"]
    assert [(line["code"], line["reason"], line["level"]) for line in failed] == [
        ("INTERNAL", "internal", "error"),
        ("INVALID_ARGUMENT", "validation_failed", "info"),
    ]
    for text in (out, err, traces.read_bytes()):
        assert b"eyJ" not in text
        assert b"private words of a message" not in text
        assert b"private words of a field" not in text

    # Every line of a call belongs to the call's trace, in logs and in spans.
    spans = [json.loads(line) for line in traces.read_text().splitlines()]
    assert {span["kind"] for span in spans} == {"CLIENT", "SERVER"}
    servers = {span["span_id"]: span for span in spans if span["kind"] == "SERVER"}
    for line in failed:
        assert servers[line["span_id"]]["trace_id"] == line["trace_id"]
    assert fault["trace_id"] == failed[0]["trace_id"]
