"""A small MessageService behind the real server: what a handler does is up to the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import grpc
from splits.chat.message.v1 import service_pb2 as rpc
from splits.chat.message.v1 import service_pb2_grpc

from servicekit.grpc_client import ServiceClient
from servicekit.grpc_server import GrpcServer
from servicekit.settings import GrpcServerSettings
from tests.support.keys import Keys

SERVICE = "splits.chat.message.v1.MessageService"

if TYPE_CHECKING:  # the stubs alone know the asynchronous flavour
    Stub: TypeAlias = service_pb2_grpc.MessageServiceAsyncStub
    Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

Unread = Callable[[], Awaitable[rpc.GetUnreadResponse]]


async def answer() -> rpc.GetUnreadResponse:
    """A handler that answers at once."""
    return rpc.GetUnreadResponse()


class SmallService(service_pb2_grpc.MessageServiceServicer):
    """GetUnread (for a user), ListMessages (for a user) and GetGateVersions (for nobody) run `handle`."""

    def __init__(self, handle: Unread = answer) -> None:
        self.handle = handle
        self.calls = 0

    async def GetUnread(self, request: rpc.GetUnreadRequest, context: Context) -> rpc.GetUnreadResponse:
        self.calls += 1
        return await self.handle()

    async def ListMessages(
        self, request: rpc.ListMessagesRequest, context: Context
    ) -> rpc.ListMessagesResponse:
        self.calls += 1
        await self.handle()
        return rpc.ListMessagesResponse()

    async def GetGateVersions(
        self, request: rpc.GetGateVersionsRequest, context: Context
    ) -> rpc.GetGateVersionsResponse:
        self.calls += 1
        await self.handle()
        return rpc.GetGateVersionsResponse()

    async def SendMessages(
        self, request: rpc.SendMessagesRequest, context: Context
    ) -> rpc.SendMessagesResponse:
        self.calls += 1
        await self.handle()
        return rpc.SendMessagesResponse()

    def StreamSends(self, request_iterator: object, context: Context) -> NoReturn:
        raise NotImplementedError  # as of every service: the server answers with SendMessages


def small_service(handle: Unread = answer) -> SmallService:
    """One whose other methods answer UNIMPLEMENTED."""
    kind: type[SmallService] = SmallService  # type: ignore[type-abstract]
    return kind(handle)


@dataclass
class Served:
    """A running server and what is needed to call it."""

    server: GrpcServer
    service: SmallService
    port: int
    keys: Keys

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"


def make_server(
    service: SmallService,
    keys: Keys,
    *,
    ready: Callable[[], Awaitable[None]] | None = None,
    **settings: Any,
) -> GrpcServer:
    """A server of `service` that is not started; `settings` are fields of GrpcServerSettings."""
    return GrpcServer(
        settings=GrpcServerSettings(**{"grpc_port": 0, "grpc_drain_seconds": 0.0, **settings}),
        trust=keys.trust(),
        add_servicers=lambda server: service_pb2_grpc.add_MessageServiceServicer_to_server(service, server),
        service_names=[SERVICE],
        ready=ready,
    )


@asynccontextmanager
async def serving(
    keys: Keys, handle: Unread = answer, *, service: SmallService | None = None, **settings: Any
) -> AsyncIterator[Served]:
    """A running server; calls in work at the end are cut off."""
    service = service or small_service(handle)
    server = make_server(service, keys, **settings)
    port = await server.start()
    try:
        yield Served(server, service, port, keys)
    finally:
        await server.drain()


@asynccontextmanager
async def calling(
    target: str, keys: Keys, service: str = "edge_gateway", **options: Any
) -> AsyncIterator[ServiceClient[Stub]]:
    """A client that signs as `service`."""
    client = ServiceClient(target, service_pb2_grpc.MessageServiceStub, keys.signer(service), **options)
    try:
        yield client
    finally:
        await client.close()
