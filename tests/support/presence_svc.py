"""presence_svc in this process, over real gRPC, and its callers."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
import redis.asyncio as redis
from splits.chat.presence.v1 import service_pb2 as rpc
from splits.chat.presence.v1 import service_pb2_grpc

from presence_svc.app import PresenceApp, migrate
from presence_svc.settings import PresenceSettings
from servicekit.grpc_client import ServiceClient
from servicekit.identity import ActingUser, Signer, write_keys
from tests.support.backing import MakeDatabase, TestDatabase
from tests.support.message_svc import CALLERS, TIMEOUT

if TYPE_CHECKING:  # the stubs alone know the asynchronous flavour
    Stub: TypeAlias = service_pb2_grpc.PresenceServiceAsyncStub


STATUSES = {"online": rpc.STATUS_ONLINE, "away": rpc.STATUS_AWAY, "offline": rpc.STATUS_OFFLINE}


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

    async def report(self, *connections: tuple[ActingUser, str, str]) -> None:
        """What became of connections, each as (whose, which, "online" | "away" | "offline")."""
        request = rpc.ReportConnectionsRequest(
            connections=[
                rpc.Connection(user_id=user.user_id, connection_id=name, status=STATUSES[status])
                for user, name, status in connections
            ]
        )
        await self.call("ReportConnections", request)

    async def presence(self, viewer: ActingUser, *people: ActingUser) -> list[rpc.Presence]:
        """What somebody sees of others."""
        request = rpc.GetPresenceRequest(user_ids=[each.user_id for each in people])
        response: rpc.GetPresenceResponse = await self.call("GetPresence", request, viewer)
        return list(response.people)

    async def presences(
        self, *questions: tuple[ActingUser, Sequence[ActingUser]]
    ) -> list[list[rpc.Presence]]:
        """What each of several who ask together sees of others."""
        request = rpc.GetPresencesRequest(
            acting_users=self.signer().assertion_together([viewer for viewer, _ in questions]),
            questions=[
                rpc.GetPresenceRequest(user_ids=[each.user_id for each in people]) for _, people in questions
            ],
        )
        response: rpc.GetPresencesResponse = await self.call("GetPresences", request)
        return [list(each.people) for each in response.answers]

    async def watch(self, *screens: tuple[ActingUser, str]) -> list[rpc.Watch]:
        """What may be shown to viewers of conversations."""
        request = rpc.WatchConversationsRequest(
            acting_users=self.signer().assertion_together([viewer for viewer, _ in screens]),
            conversation_ids=[conversation for _, conversation in screens],
        )
        response: rpc.WatchConversationsResponse = await self.call("WatchConversations", request)
        return list(response.watches)

    async def type(self, user: ActingUser, conversation: str, *, typing: bool = True) -> None:
        """Somebody types, or stops."""
        await self.call("SetTyping", rpc.SetTypingRequest(conversation_id=conversation, typing=typing), user)

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
        "presence_linger_seconds": 0,
        "presence_settle_seconds": 0,
        # A machine that is busy with other tests is not a Redis or a service that is away.
        "redis_timeout_seconds": TIMEOUT,
        "conversation_svc_timeout_seconds": TIMEOUT,
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


class Heard:
    """What is published on channels from now on."""

    def __init__(self, pubsub: Any) -> None:
        self._pubsub = pubsub
        self.payloads: list[bytes] = []

    async def take(self, within: float = 30.0) -> bytes:
        """The next payload; AssertionError when none comes."""
        message = await self._pubsub.get_message(ignore_subscribe_messages=True, timeout=within)
        assert message is not None, "nothing was published"
        self.payloads.append(message["data"])
        return self.payloads[-1]

    async def rest(self) -> list[bytes]:
        """What was published until now and not taken: what is published here last comes last."""
        mark = uuid.uuid4().bytes
        client: redis.Redis = redis.Redis(connection_pool=self._pubsub.connection_pool)
        channel = next(iter(self._pubsub.channels))
        await client.publish(channel, mark)
        found = []
        while (payload := await self.take()) != mark:
            found.append(payload)
        return found


@asynccontextmanager
async def listening(client: redis.Redis, *channels: str) -> AsyncIterator[Heard]:
    """Subscribes, and returns once that is so."""
    async with client.pubsub() as pubsub:
        await pubsub.subscribe(*channels)
        for _ in channels:
            assert (await pubsub.get_message(timeout=30))["type"] == "subscribe"
        yield Heard(pubsub)
