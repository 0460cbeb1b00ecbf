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

    async def get_presence_rights(self, viewer_id: str, user_ids: Sequence[str]) -> dict[str, bool]:
        """Of at most 100 people those whom the viewer may ask about: whether they may see them."""
        request = rpc.GetPresenceRightsRequest(viewer_id=viewer_id, user_ids=user_ids)
        response = await self._client.call(
            self._client.stub.GetPresenceRights, request, timeout=self._timeout, idempotent=True
        )
        return {right.user_id: right.visible for right in response.rights}

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
