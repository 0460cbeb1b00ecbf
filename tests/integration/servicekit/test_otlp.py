"""Spans reach a collector over OTLP, from a process that serves gRPC itself."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest_asyncio
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc

PROGRAM = """
import asyncio, sys
from pathlib import Path
from splits.chat.message.v1 import service_pb2 as rpc
from servicekit import telemetry
from servicekit.settings import TelemetrySettings
from tests.support.forgery import USER
from tests.support.keys import make_keys
from tests.support.rpc import calling, serving

async def main():
    telemetry.setup("one_svc", TelemetrySettings())
    keys = make_keys(Path(sys.argv[1]))
    async with serving(keys) as served, calling(served.target, keys) as client:
        await client.call(client.stub.GetUnread, rpc.GetUnreadRequest(), timeout=60, acting=USER)

asyncio.run(main())
"""


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.received: list[Any] = []
        self.target = ""

    async def Export(self, request: Any, context: Any) -> Any:
        self.received.extend(request.resource_spans)
        return otlp.ExportTraceServiceResponse()


@pytest_asyncio.fixture(loop_scope="session")
async def collector() -> AsyncIterator[Collector]:
    server = grpc.aio.server()
    collector = Collector()
    add: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    add(collector, server)
    collector.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield collector
    await server.stop(0)


async def test_spans_of_a_call_arrive_at_the_collector_by_the_time_the_process_has_ended(
    collector: Collector, tmp_path: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        str(tmp_path),
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.target}", "PYTHONPATH": "."},
        cwd=Path(__file__).parents[3],
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, err.decode()
    services = {
        attribute.value.string_value
        for resource in collector.received
        for attribute in resource.resource.attributes
        if attribute.key == "service.name"
    }
    spans = [
        span for resource in collector.received for scope in resource.scope_spans for span in scope.spans
    ]
    assert services == {"one_svc"}
    assert [span.name for span in spans] == ["splits.chat.message.v1.MessageService/GetUnread"] * 2
    assert len({span.trace_id for span in spans}) == 1
