"""presence_svc: who is here, who types, and what may be shown of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from splits.chat.presence.v1 import service_pb2 as presence_rpc
from splits.chat.presence.v1 import service_pb2_grpc as presence_grpc

from edge_gateway.clients.calls import Service
from servicekit.identity import ActingUser, Signer

if TYPE_CHECKING:  # the stubs alone know the asynchronous flavour
    PresenceStub: TypeAlias = presence_grpc.PresenceServiceAsyncStub
presence_stub: Callable[..., PresenceStub] = presence_grpc.PresenceServiceStub

MAX_PEOPLE = 100
"""Most people in one question, as the contract has it."""


class PresenceCalls:
    """One method an RPC. Each raises ChatError only."""

    def __init__(self, client: Service[PresenceStub], signer: Signer) -> None:
        self._client = client
        self._signer = signer

    async def close(self) -> None:
        """Ends the connections."""
        await self._client.close()

    async def list_access_changes(self, after: int) -> presence_rpc.ListAccessChangesResponse:
        """Who is not let in any more, or is again, since that version."""
        request = presence_rpc.ListAccessChangesRequest(after_version=after)
        return await self._client.call(self._client.stub.ListAccessChanges, request, None)

    async def report(self, connections: Sequence[presence_rpc.Connection]) -> None:
        """What became of at most 1000 sockets, in the order given."""
        request = presence_rpc.ReportConnectionsRequest(connections=connections)
        await self._client.call(self._client.stub.ReportConnections, request, None)

    async def get(self, user: ActingUser, user_ids: Sequence[str]) -> Sequence[presence_rpc.Presence]:
        """Of at most MAX_PEOPLE, those whom the user may ask about."""
        request = presence_rpc.GetPresenceRequest(user_ids=user_ids)
        return (await self._client.call(self._client.stub.GetPresence, request, user)).people

    async def get_together(
        self, questions: Sequence[tuple[ActingUser, Sequence[str]]]
    ) -> Sequence[Sequence[presence_rpc.Presence]]:
        """The same for each of at most TOGETHER who ask, in their order."""
        request = presence_rpc.GetPresencesRequest(
            acting_users=self._signer.assertion_together([user for user, _ in questions]),
            questions=[presence_rpc.GetPresenceRequest(user_ids=user_ids) for _, user_ids in questions],
        )
        answers = (await self._client.call(self._client.stub.GetPresences, request, None)).answers
        return [each.people for each in answers]

    async def watch(self, screens: Sequence[tuple[ActingUser, str]]) -> Sequence[presence_rpc.Watch]:
        """What may be shown to each of at most TOGETHER viewers of the conversation they look at."""
        request = presence_rpc.WatchConversationsRequest(
            acting_users=self._signer.assertion_together([user for user, _ in screens]),
            conversation_ids=[conversation_id for _, conversation_id in screens],
        )
        return (await self._client.call(self._client.stub.WatchConversations, request, None)).watches

    async def set_typing(self, user: ActingUser, conversation_id: str, typing: bool) -> None:
        """Tells those who may see it."""
        request = presence_rpc.SetTypingRequest(conversation_id=conversation_id, typing=typing)
        await self._client.call(self._client.stub.SetTyping, request, user)
