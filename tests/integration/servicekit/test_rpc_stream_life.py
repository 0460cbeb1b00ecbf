"""How long streams that carry calls stay open, and what ends them: no call may notice."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind
from splits.chat.message.v1 import service_pb2_grpc

from servicekit import telemetry
from servicekit.grpc_client import ServiceClient
from servicekit.grpc_server import GrpcServer
from servicekit.settings import GrpcServerSettings
from tests.integration.servicekit.test_rpc_streams import Seen, asked, send
from tests.support.clock import FixedClock
from tests.support.keys import Keys
from tests.support.rpc import SERVICE, calling, serving, small_service


async def test_a_connection_that_is_wound_down_cuts_off_no_call(keys: Keys) -> None:
    """Calls go on over its streams for as long as any stream is used."""
    async with (
        serving(keys, grpc_max_connection_age_ms=1000, grpc_drain_seconds=0) as served,
        calling(served.target, keys) as client,
    ):
        loop = asyncio.get_running_loop()
        end = loop.time() + 2.5  # its age is spread by a tenth
        while loop.time() < end:
            await send(client)


async def test_a_stream_does_not_outlive_its_token(keys: Keys) -> None:
    """Not even when the machine was asleep, or its clock was set."""
    clock = FixedClock()
    service = small_service()
    server = GrpcServer(
        settings=GrpcServerSettings(grpc_port=0, grpc_drain_seconds=0),
        trust=keys.trust(clock),
        add_servicers=lambda server: service_pb2_grpc.add_MessageServiceServicer_to_server(service, server),
        service_names=[SERVICE],
    )
    port = await server.start()
    client = ServiceClient(
        f"127.0.0.1:{port}",
        service_pb2_grpc.MessageServiceStub,
        keys.signer("edge_gateway", clock),
    )
    try:
        for _ in range(3):
            await send(client)
            clock.advance(3600)
    finally:
        await client.close()
        await server.drain()


async def test_streams_that_carry_nothing_keep_nobody_out(keys: Keys) -> None:
    """Those of many clients are more than the calls that a service takes at once."""
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(serving(keys, grpc_max_concurrent=2))
        clients = [await stack.enter_async_context(calling(served.target, keys)) for _ in range(80)]
        for client in clients:
            await send(client)
        await clients[0].call(clients[0].stub.SendMessages, asked().call, timeout=60)
        async with grpc.aio.insecure_channel(served.target) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            answer = await health.Check(health_pb2.HealthCheckRequest())
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        for client in clients:
            await send(client, idempotent=True)  # over another stream, when its own ends just now


async def test_one_trace_joins_a_call_to_its_work_and_to_the_stream_opened_for_it(
    keys: Keys, spans: list[ReadableSpan]
) -> None:
    seen = Seen(telemetry.current_request_id)
    async with serving(keys, seen.handle) as served, calling(served.target, keys) as client:
        telemetry.bind_request_id("req-1")
        for name in ("first", "second"):
            with telemetry.tracer().start_as_current_span(name):
                await send(client)
    assert seen.noted == ["req-1", "req-1"]
    names = {_id(span): span.name for span in spans}
    stream, call = f"{SERVICE}/StreamSends", f"{SERVICE}/SendMessages"
    assert [(span.name, span.kind, names[span.parent.span_id]) for span in spans if span.parent] == [
        (stream, SpanKind.SERVER, stream),
        (call, SpanKind.SERVER, stream),
        (stream, SpanKind.CLIENT, "first"),
        (call, SpanKind.SERVER, stream),
        (stream, SpanKind.CLIENT, "second"),
    ]
    assert [span.name for span in spans if span.parent is None] == ["first", "second"]


def _id(span: ReadableSpan) -> int:
    context = span.get_span_context()
    assert context is not None
    return context.span_id
