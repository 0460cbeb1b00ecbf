"""How long streams that carry calls stay open, and what ends them: no call may notice."""

from __future__ import annotations

import asyncio

from splits.chat.message.v1 import service_pb2_grpc

from servicekit.grpc_client import ServiceClient
from servicekit.grpc_server import GrpcServer
from servicekit.settings import GrpcServerSettings
from tests.integration.servicekit.test_rpc_streams import send
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
