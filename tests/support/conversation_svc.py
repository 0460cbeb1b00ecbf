"""conversation_svc in this process, over real gRPC, and the people who use it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
import orjson
import redis.asyncio as redis
from splits.chat.conversation.v1 import conversation_pb2 as pb
from splits.chat.conversation.v1 import service_pb2 as rpc
from splits.chat.conversation.v1 import service_pb2_grpc
from splits.chat.message.v1 import message_pb2

from conversation_svc.app import ConversationApp, migrate
from conversation_svc.settings import ConversationSettings
from servicekit.clock import Clock
from servicekit.grpc_client import ServiceClient
from servicekit.identity import ActingUser, Signer, write_keys
from servicekit.realtime import stream_key
from tests.support.backing import MakeDatabase, TestDatabase
from tests.support.message_svc import CALLERS, TIMEOUT
from tests.support.waiting import eventually

if TYPE_CHECKING:  # the stubs alone know the asynchronous flavour
    Stub: TypeAlias = service_pb2_grpc.ConversationServiceAsyncStub


def new_person(role: str = "recruiter", **fields: Any) -> ActingUser:
    """A fresh person, so that tests sharing a Redis stay apart."""
    return ActingUser(f"{role}_{uuid.uuid4().hex[:12]}", role, display_name=role.title(), **fields)


@dataclass
class ConversationService:
    """The running service, called as the edge calls it."""

    app: ConversationApp
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
                self.target, service_pb2_grpc.ConversationServiceStub, self.signer(service)
            )
        return self._clients[service]

    def signer(self, service: str = "edge_gateway") -> Signer:
        """Signs as a caller."""
        return Signer.from_file(service, self.keys / f"{service}.pem")

    async def call(self, method: str, request: Any, acting: ActingUser | None) -> Any:
        """One call of the edge, for somebody."""
        client = self.client()
        return await client.call(getattr(client.stub, method), request, timeout=TIMEOUT, acting=acting)

    async def meet(self, *people: ActingUser) -> None:
        """Everybody is seen in a token."""
        for person in people:
            await self.call("SyncProfile", rpc.SyncProfileRequest(), person)

    async def create(
        self,
        sender: ActingUser,
        recipient: ActingUser,
        job: str = "",
        text: str = "hello",
        client_id: str = "first",
        key: str = "",
        reply_to: str = "",
        **context: str,
    ) -> rpc.CreateConversationResponse:
        """Writes to somebody about a job."""
        request = rpc.CreateConversationRequest(
            recipient_id=recipient.user_id,
            message=message_pb2.NewMessage(client_message_id=client_id, text=text, reply_to_id=reply_to),
            idempotency_key=key,
            context=pb.Context(job_id=job, **context),
        )
        response: rpc.CreateConversationResponse = await self.call("CreateConversation", request, sender)
        return response

    async def start(self, sender: ActingUser, recipient: ActingUser, job: str = "") -> str:
        """Starts a request and returns its id."""
        response = await self.create(sender, recipient, job)
        assert response.WhichOneof("outcome") == "created", response
        return response.created.conversation.id

    async def get(self, viewer: ActingUser, *ids: str) -> list[pb.Conversation]:
        """Conversations as the viewer sees them."""
        return list((await self.get_all(viewer, ids)).conversations)

    async def get_all(self, viewer: ActingUser, ids: Sequence[str]) -> rpc.GetConversationsResponse:
        """The whole answer."""
        request = rpc.GetConversationsRequest(conversation_ids=ids)
        response: rpc.GetConversationsResponse = await self.call("GetConversations", request, viewer)
        return response

    async def accept(self, who: ActingUser, conversation: str) -> rpc.AcceptRequestResponse:
        request = rpc.AcceptRequestRequest(conversation_id=conversation)
        response: rpc.AcceptRequestResponse = await self.call("AcceptRequest", request, who)
        return response

    async def decline(
        self, who: ActingUser, conversation: str, *, reason: str = "", block: bool = False
    ) -> rpc.DeclineRequestResponse:
        request = rpc.DeclineRequestRequest(conversation_id=conversation, reason=reason, block=block)
        response: rpc.DeclineRequestResponse = await self.call("DeclineRequest", request, who)
        return response

    async def withdraw(self, who: ActingUser, conversation: str) -> rpc.WithdrawRequestResponse:
        request = rpc.WithdrawRequestRequest(conversation_id=conversation)
        response: rpc.WithdrawRequestResponse = await self.call("WithdrawRequest", request, who)
        return response

    async def block(self, who: ActingUser, whom: ActingUser) -> None:
        await self.call("PutBlock", rpc.PutBlockRequest(user_id=whom.user_id), who)

    async def unblock(self, who: ActingUser, whom: ActingUser) -> None:
        await self.call("DeleteBlock", rpc.DeleteBlockRequest(user_id=whom.user_id), who)

    async def settings(self, who: ActingUser) -> rpc.Settings:
        """What somebody shows."""
        response: rpc.GetSettingsResponse = await self.call("GetSettings", rpc.GetSettingsRequest(), who)
        return response.settings

    async def update_settings(self, who: ActingUser, **named: bool) -> rpc.Settings:
        """Changes what is named."""
        request = rpc.UpdateSettingsRequest(**named)
        response: rpc.UpdateSettingsResponse = await self.call("UpdateSettings", request, who)
        return response.settings

    async def close(self) -> None:
        """Stops the service and its clients."""
        for client in self._clients.values():
            await client.close()
        await self.app.stop()


@asynccontextmanager
async def run_conversation_service(
    make_database: MakeDatabase,
    redis_url: str,
    amqp_url: str,
    keys: Path,
    message_svc_target: str,
    *,
    clock: Clock | None = None,
    database: TestDatabase | None = None,
    **settings: object,
) -> AsyncIterator[ConversationService]:
    """A service on a database of its own, or on the one given; `settings` override the defaults."""
    database = database or await make_database()
    write_keys(keys, CALLERS)
    defaults: dict[str, object] = {
        "database_url": await database.url("conversation_svc"),
        "redis_url": redis_url,
        "amqp_url": amqp_url,
        "grpc_port": 0,
        "grpc_drain_seconds": 1.0,
        "service_key_file": keys / "conversation_svc.pem",
        "service_trust_file": keys / "trust.json",
        "message_svc_target": message_svc_target,
    }
    values = ConversationSettings(**{**defaults, **settings})  # type: ignore[arg-type]
    await migrate(values)
    app = ConversationApp(values, clock=clock)
    port = await app.start()
    service = ConversationService(app, database, keys, f"127.0.0.1:{port}")
    try:
        yield service
    finally:
        await service.close()


@dataclass(frozen=True)
class Told:
    """An entry of a person's stream."""

    type: str
    conversation_id: str | None
    refs: dict[str, Any]


async def told(redis_url: str, person: ActingUser) -> list[Told]:
    """All that a person's devices were told, in order."""
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    try:
        entries: Any = await client.xrange(stream_key(person.user_id))
    finally:
        await client.aclose()
    return [
        Told(fields["type"], fields.get("conversationId"), orjson.loads(fields["refs"]))
        for _, fields in entries
    ]


async def told_at_last(redis_url: str, person: ActingUser, count: int) -> list[Told]:
    """As `told`, once there are `count` entries."""
    return await eventually(lambda: told(redis_url, person), until=lambda entries: len(entries) >= count)
