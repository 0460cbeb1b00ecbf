"""The gRPC face of presence_svc: proto -> action -> proto. No rules here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
from splits.chat.presence.v1 import service_pb2 as rpc
from splits.chat.presence.v1 import service_pb2_grpc

if TYPE_CHECKING:  # generic in its stubs only
    Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class PresenceServicer(service_pb2_grpc.PresenceServiceServicer):
    """See `protos/splits/chat/presence/v1/service.proto` for what each call promises.

    What this release does not have yet answers UNIMPLEMENTED.
    """

    async def ReportConnections(
        self, request: rpc.ReportConnectionsRequest, context: Context
    ) -> rpc.ReportConnectionsResponse:
        raise NotImplementedError

    async def GetPresence(self, request: rpc.GetPresenceRequest, context: Context) -> rpc.GetPresenceResponse:
        raise NotImplementedError

    async def WatchConversations(
        self, request: rpc.WatchConversationsRequest, context: Context
    ) -> rpc.WatchConversationsResponse:
        raise NotImplementedError

    async def SetTyping(self, request: rpc.SetTypingRequest, context: Context) -> rpc.SetTypingResponse:
        raise NotImplementedError

    async def RevokeSessions(
        self, request: rpc.RevokeSessionsRequest, context: Context
    ) -> rpc.RevokeSessionsResponse:
        raise NotImplementedError

    async def BanUser(self, request: rpc.BanUserRequest, context: Context) -> rpc.BanUserResponse:
        raise NotImplementedError

    async def LiftBan(self, request: rpc.LiftBanRequest, context: Context) -> rpc.LiftBanResponse:
        raise NotImplementedError

    async def ListAccessChanges(
        self, request: rpc.ListAccessChangesRequest, context: Context
    ) -> rpc.ListAccessChangesResponse:
        raise NotImplementedError
