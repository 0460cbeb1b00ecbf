"""`chatctl gates`: what conversations allow, as message_svc enforces it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from splits.chat.conversation.v1 import service_pb2, service_pb2_grpc

from chatctl.running import Running
from servicekit.grpc_client import ServiceClient
from servicekit.identity import Signer

if TYPE_CHECKING:  # the stubs alone know the asynchronous flavour
    Stub: TypeAlias = service_pb2_grpc.ConversationServiceAsyncStub

CALL_S = 60.0


@dataclass(frozen=True, slots=True)
class Repushed:
    """One page: how many gates are held as they were computed, and how many are still owed."""

    pushed: int
    owed: int


async def repush(running: Running) -> AsyncIterator[Repushed]:
    """Have every gate computed and pushed again, page by page. Raises ChatError."""
    signer = Signer.from_file("chatctl", running.keys_dir / "chatctl.pem")
    client: ServiceClient[Stub] = ServiceClient(
        running.targets["conversation_svc"], service_pb2_grpc.ConversationServiceStub, signer
    )
    request = service_pb2.RepushGatesRequest()
    try:
        while True:
            page = await client.call(client.stub.RepushGates, request, timeout=CALL_S, idempotent=True)
            yield Repushed(page.pushed, page.owed)
            if not page.next_after_conversation_id:
                return
            request.after_conversation_id = page.next_after_conversation_id
    finally:
        await client.close()
