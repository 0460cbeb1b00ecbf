"""conversation_svc, as this service calls it: who may see whom, asked anew each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

from splits.chat.conversation.v1 import service_pb2 as rpc
from splits.chat.conversation.v1 import service_pb2_grpc

from servicekit.grpc_client import ServiceClient
from servicekit.identity import Signer

if TYPE_CHECKING:  # the stubs alone know the asynchronous flavour
    Stub: TypeAlias = service_pb2_grpc.ConversationServiceAsyncStub


@dataclass(frozen=True, slots=True)
class Company:
    """The others in a conversation, as somebody in it is concerned with them."""

    presence: tuple[str, ...]
    """Each may see whether the other is here."""
    typing: tuple[str, ...]
    """Each may see that the other types."""


class Relations:
    """A client of conversation_svc. Every call raises ChatError only and may be repeated."""

    def __init__(self, target: str, signer: Signer, *, timeout: float) -> None:
        self._client: ServiceClient[Stub] = ServiceClient(
            target, service_pb2_grpc.ConversationServiceStub, signer
        )
        self._timeout = timeout

    async def get_companies(self, viewings: Sequence[tuple[str, UUID]]) -> list[Company | None]:
        """For at most 64 viewers and conversations, in their order; None = the viewer is not in it."""
        request = rpc.GetCompaniesRequest(
            viewings=[
                rpc.Viewing(viewer_id=viewer_id, conversation_id=str(conversation_id))
                for viewer_id, conversation_id in viewings
            ]
        )
        response = await self._client.call(
            self._client.stub.GetCompanies, request, timeout=self._timeout, idempotent=True
        )
        return [_company(each) for each in response.companies]

    async def get_presence_rights(
        self, questions: Sequence[tuple[str, Sequence[str]]]
    ) -> list[dict[str, bool]]:
        """For at most 64 viewers and at most 100 people of each, in their order: those of the people whom the
        viewer may ask about, and whether they may see them.
        """
        request = rpc.GetManyPresenceRightsRequest(
            questions=[
                rpc.GetPresenceRightsRequest(viewer_id=viewer_id, user_ids=user_ids)
                for viewer_id, user_ids in questions
            ]
        )
        response = await self._client.call(
            self._client.stub.GetManyPresenceRights, request, timeout=self._timeout, idempotent=True
        )
        return [{right.user_id: right.visible for right in answer.rights} for answer in response.answers]

    async def close(self) -> None:
        """Closes the channel."""
        await self._client.close()


def _company(company: rpc.Company) -> Company | None:
    if not company.found:
        return None
    return Company(
        presence=tuple(each.user_id for each in company.companions if each.presence),
        typing=tuple(each.user_id for each in company.companions if each.typing),
    )
