"""message_svc in this process, over real gRPC, Postgres, Redis and RabbitMQ."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

import asyncpg
from splits.chat.message.v1 import message_pb2 as pb
from splits.chat.message.v1 import service_pb2 as rpc
from splits.chat.message.v1 import service_pb2_grpc

from message_svc import store
from message_svc.app import MIGRATIONS, SERVICE, MessageApp
from message_svc.settings import MessageSettings
from servicekit.grpc_client import ServiceClient
from servicekit.identity import ActingUser, Signer, write_keys
from servicekit.migrations import migrate
from tests.support.backing import MakeDatabase, TestDatabase
from tests.support.gates import active_gate, new_conversation_id
from tests.support.waiting import eventually

CALLERS = {
    "edge_gateway": "edge",
    "conversation_svc": "conversation_svc",
    "message_svc": "message_svc",
    "presence_svc": "presence_svc",
    "ats_sync": "internal",
}
TIMEOUT = 30.0

if TYPE_CHECKING:  # the stubs alone know the asynchronous flavour
    Stub: TypeAlias = service_pb2_grpc.MessageServiceAsyncStub


@dataclass
class MessageService:
    """The running service and its callers."""

    app: MessageApp
    database: TestDatabase
    keys: Path
    target: str
    remembers: bool = False
    """Whether gates are remembered as soon as they are pushed, and not only when they were written."""
    _clients: dict[str, ServiceClient[Stub]] = field(default_factory=dict)
    _signers: dict[str, Signer] = field(default_factory=dict)

    @property
    def pool(self) -> asyncpg.Pool:
        """The service's own pool: its tables by their plain names."""
        return self.app.pool

    def signer(self, service: str) -> Signer:
        """The signer of a caller named in CALLERS; one each, since it caches what it signs."""
        if service not in self._signers:
            self._signers[service] = Signer.from_file(service, self.keys / f"{service}.pem")
        return self._signers[service]

    def client(self, service: str = "edge_gateway") -> ServiceClient[Stub]:
        """A client of the caller's, kept for the life of the service."""
        if service not in self._clients:
            self._clients[service] = ServiceClient(
                self.target, service_pb2_grpc.MessageServiceStub, self.signer(service)
            )
        return self._clients[service]

    async def apply(self, *gates: pb.Gate) -> list[rpc.HeldGate]:
        """Pushes gates as conversation_svc does."""
        client = self.client("conversation_svc")
        request = rpc.ApplyGatesRequest(gates=gates)
        response = await client.call(client.stub.ApplyGates, request, timeout=TIMEOUT)
        await self._remember(*gates)
        return list(response.held)

    async def open(
        self, gate: pb.Gate, sender: str, text: str = "hello", client_id: str = "first"
    ) -> rpc.OpenConversationResponse:
        """Opens a conversation as conversation_svc does."""
        client = self.client("conversation_svc")
        message = pb.NewMessage(client_message_id=client_id, text=text)
        request = rpc.OpenConversationRequest(gate=gate, first_message=message)
        response = await client.call(
            client.stub.OpenConversation, request, timeout=TIMEOUT, acting=ActingUser(sender, "recruiter")
        )
        await self._remember(gate)
        return response

    async def _remember(self, *gates: pb.Gate) -> None:
        if self.remembers:
            async with self.pool.acquire() as conn, conn.transaction():
                ids = [UUID(gate.conversation_id) for gate in gates]
                self.app.gates.keep(await store.lock_gates(conn, ids))

    def new_send(self, sender: str, conversation_id: str, client_id: str, text: str = "hello") -> rpc.Send:
        """One send of the edge."""
        return rpc.Send(
            acting_user=self.signer("edge_gateway").assertion(ActingUser(sender, "recruiter")),
            conversation_id=conversation_id,
            message=pb.NewMessage(client_message_id=client_id, text=text),
        )

    async def send_batch(self, *sends: rpc.Send) -> list[rpc.SendOutcome]:
        """Sends a batch as the edge does."""
        client = self.client()
        request = rpc.SendMessagesRequest(sends=sends)
        response = await client.call(client.stub.SendMessages, request, timeout=TIMEOUT)
        return list(response.outcomes)

    async def send(
        self, sender: str, conversation_id: str, client_id: str, text: str = "hello"
    ) -> rpc.SendOutcome:
        """Sends one message as the edge does."""
        return (await self.send_batch(self.new_send(sender, conversation_id, client_id, text)))[0]

    async def conversation_of(self, people: list[str], texts: int) -> str:
        """An active conversation in which the first person wrote `texts` messages."""
        conversation = new_conversation_id()
        await self.open(active_gate(conversation, 1, people), people[0], "1")
        for number in range(2, texts + 1):
            await self.send(people[0], conversation, f"c{number}", str(number))
        return conversation

    async def view(self, user_id: str, conversation_id: str) -> pb.MemberView | None:
        """The person's view of a conversation, or None."""
        client = self.client()
        request = rpc.GetMemberViewsRequest(conversation_ids=[conversation_id])
        response = await client.call(
            client.stub.GetMemberViews, request, timeout=TIMEOUT, acting=ActingUser(user_id, "recruiter")
        )
        return response.views[0] if response.views else None

    async def read(self, user_id: str, conversation_id: str, seq: int) -> rpc.MarkReadResponse:
        """Moves the person's read pointer."""
        client = self.client()
        request = rpc.MarkReadRequest(conversation_id=conversation_id, last_read_seq=seq)
        return await client.call(
            client.stub.MarkRead, request, timeout=TIMEOUT, acting=ActingUser(user_id, "recruiter")
        )

    async def inbox(self, user_id: str, request: rpc.ListInboxRequest) -> rpc.ListInboxResponse:
        """A page of one of the person's lists."""
        client = self.client()
        return await client.call(
            client.stub.ListInbox, request, timeout=TIMEOUT, acting=ActingUser(user_id, "recruiter")
        )

    async def watch_list(
        self, user_id: str, request: rpc.GetWatchListRequest | None = None
    ) -> rpc.GetWatchListResponse:
        """What changed for the person, the latest first; without a request the first page."""
        client = self.client()
        return await client.call(
            client.stub.GetWatchList,
            request or rpc.GetWatchListRequest(),
            timeout=TIMEOUT,
            acting=ActingUser(user_id, "recruiter"),
        )

    async def all_told(self) -> None:
        """Returns once what was done before is published: who listens from now on hears what comes."""

        async def owed() -> int:
            count: int = await self.pool.fetchval("SELECT count(*) FROM outbox_realtime")
            return count

        await eventually(owed, until=lambda count: count == 0)

    async def close(self) -> None:
        """Stops the service and its clients."""
        for client in self._clients.values():
            await client.close()
        await self.app.stop()


@asynccontextmanager
async def run_replica(service: MessageService) -> AsyncIterator[MessageService]:
    """Another replica of a running service, with the same settings."""
    app = MessageApp(service.app.settings)
    port = await app.start()
    replica = MessageService(app, service.database, service.keys, f"127.0.0.1:{port}", service.remembers)
    try:
        yield replica
    finally:
        await replica.close()


@asynccontextmanager
async def run_message_service(
    make_database: MakeDatabase,
    redis_url: str,
    amqp_url: str,
    keys: Path,
    migrations: Path = MIGRATIONS,
    *,
    remembers: bool = False,
    **settings: object,
) -> AsyncIterator[MessageService]:
    """A service on a database of its own; `settings` override the defaults of `MessageSettings`."""
    database = await make_database()
    write_keys(keys, CALLERS)
    values = MessageSettings(
        database_url=await database.url("message_svc"),
        redis_url=redis_url,
        amqp_url=amqp_url,
        grpc_port=0,
        service_key_file=keys / "message_svc.pem",
        service_trust_file=keys / "trust.json",
        message_hash_key="a test key of sixteen bytes or more",
        **settings,  # type: ignore[arg-type]
    )
    await migrate(values.database_url, schema=SERVICE, directory=migrations)
    app = MessageApp(values)
    port = await app.start()
    service = MessageService(app, database, keys, f"127.0.0.1:{port}", remembers)
    try:
        yield service
    finally:
        await service.close()
