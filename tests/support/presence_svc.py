"""presence_svc in this process, over real gRPC, and its callers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
from splits.chat.presence.v1 import service_pb2_grpc

from presence_svc.app import PresenceApp, migrate
from presence_svc.settings import PresenceSettings
from servicekit.grpc_client import ServiceClient
from servicekit.identity import ActingUser, Signer, write_keys
from tests.support.backing import MakeDatabase, TestDatabase
from tests.support.message_svc import CALLERS, TIMEOUT

if TYPE_CHECKING:  # the stubs alone know the asynchronous flavour
    Stub: TypeAlias = service_pb2_grpc.PresenceServiceAsyncStub


@dataclass
class PresenceService:
    """The running service, called as the edge calls it."""

    app: PresenceApp
    database: TestDatabase
    keys: Path
    target: str
    _clients: dict[str, ServiceClient[Stub]] = field(default_factory=dict)

    @property
    def pool(self) -> asyncpg.Pool:
        """The service's own pool: its tables by their plain names."""
        return self.app.pool

    def client(self, service: str = "edge_gateway") -> ServiceClient[Stub]:
        """A client of the caller's, kept for the life of the service."""
        if service not in self._clients:
            self._clients[service] = ServiceClient(
                self.target, service_pb2_grpc.PresenceServiceStub, self.signer(service)
            )
        return self._clients[service]

    def signer(self, service: str = "edge_gateway") -> Signer:
        """Signs as a caller."""
        return Signer.from_file(service, self.keys / f"{service}.pem")

    async def call(
        self, method: str, request: Any, acting: ActingUser | None = None, *, by: str = "edge_gateway"
    ) -> Any:
        """One call of the edge, or of another caller, maybe for somebody."""
        client = self.client(by)
        return await client.call(getattr(client.stub, method), request, timeout=TIMEOUT, acting=acting)

    async def close(self) -> None:
        """Stops the service and its clients."""
        for client in self._clients.values():
            await client.close()
        await self.app.stop()


@asynccontextmanager
async def run_presence_service(
    make_database: MakeDatabase,
    redis_url: str,
    keys: Path,
    conversation_svc_target: str,
    *,
    database: TestDatabase | None = None,
    **settings: object,
) -> AsyncIterator[PresenceService]:
    """A service on a database of its own, or on the one given; `settings` override the defaults."""
    database = database or await make_database()
    write_keys(keys, CALLERS)
    defaults: dict[str, object] = {
        "database_url": await database.url("presence_svc"),
        "redis_url": redis_url,
        "grpc_port": 0,
        "grpc_drain_seconds": 1.0,
        "service_key_file": keys / "presence_svc.pem",
        "service_trust_file": keys / "trust.json",
        "conversation_svc_target": conversation_svc_target,
    }
    values = PresenceSettings(**{**defaults, **settings})  # type: ignore[arg-type]
    await migrate(values)
    app = PresenceApp(values)
    port = await app.start()
    service = PresenceService(app, database, keys, f"127.0.0.1:{port}")
    try:
        yield service
    finally:
        await service.close()
