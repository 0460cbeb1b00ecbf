"""message_svc, as this service calls it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

from splits.chat.message.v1 import message_pb2 as pb
from splits.chat.message.v1 import service_pb2 as rpc
from splits.chat.message.v1 import service_pb2_grpc

from conversation_svc.domain import Gate, Held, Refusal, Role
from conversation_svc.domain.mail import View
from conversation_svc.wire import gate_to_proto, refusal_from_proto, view_from_proto
from servicekit.grpc_client import ServiceClient
from servicekit.identity import ActingUser, Signer

if TYPE_CHECKING:  # the stubs alone know the asynchronous flavour
    Stub: TypeAlias = service_pb2_grpc.MessageServiceAsyncStub

MOST_GATES = 500
"""In one ApplyGates, as its contract says."""
MOST_VERSIONS = 1000
"""In one GetGateVersions."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What became of OpenConversation: `message` when it is stored, else `refusal`."""

    held: Held
    message: pb.Message | None
    refusal: Refusal | None


class Messages:
    """A client of message_svc. Every call raises ChatError only and may be repeated."""

    def __init__(self, target: str, signer: Signer, *, timeout: float) -> None:
        self._client: ServiceClient[Stub] = ServiceClient(target, service_pb2_grpc.MessageServiceStub, signer)
        self._timeout = timeout

    async def apply_gates(self, gates: Sequence[Gate]) -> list[Held]:
        """Applies at most MOST_GATES gates, all in one transaction; what is held then, in their order."""
        request = rpc.ApplyGatesRequest(gates=[gate_to_proto(gate) for gate in gates])
        response = await self._client.call(
            self._client.stub.ApplyGates, request, timeout=self._timeout, idempotent=True
        )
        return [_held(held) for held in response.held]

    async def get_gate_versions(self, ids: Sequence[UUID]) -> list[Held]:
        """What is held for at most MOST_VERSIONS conversations, in their order."""
        request = rpc.GetGateVersionsRequest(conversation_ids=[str(one) for one in ids])
        response = await self._client.call(
            self._client.stub.GetGateVersions, request, timeout=self._timeout, idempotent=True
        )
        return [_held(held) for held in response.held]

    async def open_conversation(self, gate: Gate, first: pb.NewMessage, sender: ActingUser) -> Opening:
        """Applies a new conversation's gate and stores its first message under the gate that is then held."""
        request = rpc.OpenConversationRequest(gate=gate_to_proto(gate), first_message=first)
        response = await self._client.call(
            self._client.stub.OpenConversation,
            request,
            timeout=self._timeout,
            acting=sender,
            idempotent=True,
        )
        stored = response.WhichOneof("outcome") == "message"
        return Opening(
            held=Held(
                gate.conversation_id,
                response.held_version,
                differs=response.differs,
                opened=stored,
                refused=not stored,
            ),
            message=response.message if stored else None,
            refusal=None if stored else refusal_from_proto(response.refused),
        )

    async def get_view(self, user_id: str, role: Role, conversation_id: UUID) -> View | None:
        """A person's own view of a conversation; None when they are not in it."""
        request = rpc.GetMemberViewsRequest(conversation_ids=[str(conversation_id)])
        response = await self._client.call(
            self._client.stub.GetMemberViews,
            request,
            timeout=self._timeout,
            acting=ActingUser(user_id, role),
            idempotent=True,
        )
        return view_from_proto(response.views[0]) if response.views else None

    async def close(self) -> None:
        """Closes the channel."""
        await self._client.close()


def _held(held: rpc.HeldGate) -> Held:
    return Held(UUID(held.conversation_id), held.gate_version, differs=held.differs, opened=held.opened)
