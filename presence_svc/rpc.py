"""The gRPC face of presence_svc: proto -> action -> proto. No rules here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

import grpc
from splits.chat.presence.v1 import service_pb2 as rpc
from splits.chat.presence.v1 import service_pb2_grpc

from presence_svc.actions.deps import Deps
from presence_svc.actions.get_presence import Presence, Question, get_presence
from presence_svc.actions.list_access_changes import list_access_changes
from presence_svc.actions.record_access_change import record_access_change
from presence_svc.actions.report_connections import report_connections
from presence_svc.actions.set_typing import set_typing
from presence_svc.actions.watch_conversations import watch_conversations
from presence_svc.domain import Report, Status
from presence_svc.wire import access_change_to_proto, ban, lifted_ban, revocation
from servicekit.errors import ChatError, Reason
from servicekit.identity import Trust, acting_user, current_caller

_NUMBERS = {
    Status.ONLINE: rpc.STATUS_ONLINE,
    Status.AWAY: rpc.STATUS_AWAY,
    Status.OFFLINE: rpc.STATUS_OFFLINE,
}
_STATUSES = {number: status for status, number in _NUMBERS.items()}

if TYPE_CHECKING:  # generic in its stubs only
    Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class PresenceServicer(service_pb2_grpc.PresenceServiceServicer):
    """See `protos/splits/chat/presence/v1/service.proto` for what each call promises."""

    def __init__(self, deps: Deps, trust: Trust) -> None:
        self._deps = deps
        self._trust = trust

    async def ReportConnections(
        self, request: rpc.ReportConnectionsRequest, context: Context
    ) -> rpc.ReportConnectionsResponse:
        if any("\0" in each.user_id for each in request.connections):
            raise ChatError(Reason.VALIDATION_FAILED, "No user id holds NUL.")  # and Postgres holds none
        await report_connections(
            self._deps,
            [
                (each.user_id, Report(each.connection_id, _STATUSES[each.status]))
                for each in request.connections
            ],
        )
        return rpc.ReportConnectionsResponse()

    async def GetPresence(self, request: rpc.GetPresenceRequest, context: Context) -> rpc.GetPresenceResponse:
        [people] = await get_presence(self._deps, [Question(acting_user().user_id, request.user_ids)])
        return _people_to_proto(people)

    async def GetPresences(
        self, request: rpc.GetPresencesRequest, context: Context
    ) -> rpc.GetPresencesResponse:
        viewers = self._trust.verify_assertion_together(request.acting_users, current_caller())
        if len(viewers) != len(request.questions):
            raise ChatError(Reason.VALIDATION_FAILED, "There must be one viewer for each question.")
        questions = [
            Question(viewer.user_id, each.user_ids)
            for viewer, each in zip(viewers, request.questions, strict=True)
        ]
        answers = await get_presence(self._deps, questions)
        return rpc.GetPresencesResponse(answers=[_people_to_proto(each) for each in answers])

    async def WatchConversations(
        self, request: rpc.WatchConversationsRequest, context: Context
    ) -> rpc.WatchConversationsResponse:
        viewers = self._trust.verify_assertion_together(request.acting_users, current_caller())
        if len(viewers) != len(request.conversation_ids):
            raise ChatError(Reason.VALIDATION_FAILED, "There must be one viewer for each conversation.")
        screens = [
            (viewer.user_id, UUID(conversation_id))
            for viewer, conversation_id in zip(viewers, request.conversation_ids, strict=True)
        ]
        seen = await watch_conversations(self._deps, screens)
        return rpc.WatchConversationsResponse(
            watches=[rpc.Watch(found=each is not None, presence_of=each or ()) for each in seen]
        )

    async def SetTyping(self, request: rpc.SetTypingRequest, context: Context) -> rpc.SetTypingResponse:
        user = acting_user()
        if user.impersonator is not None:
            raise ChatError(Reason.FORBIDDEN, "Under impersonation nothing can be changed.")
        await set_typing(self._deps, user.user_id, UUID(request.conversation_id), typing=request.typing)
        return rpc.SetTypingResponse()

    async def RevokeSessions(
        self, request: rpc.RevokeSessionsRequest, context: Context
    ) -> rpc.RevokeSessionsResponse:
        over = revocation(request, self._deps.clock.now())
        await record_access_change(self._deps, request.user_id, over)
        return rpc.RevokeSessionsResponse()

    async def BanUser(self, request: rpc.BanUserRequest, context: Context) -> rpc.BanUserResponse:
        await record_access_change(self._deps, request.user_id, ban(request))
        return rpc.BanUserResponse()

    async def LiftBan(self, request: rpc.LiftBanRequest, context: Context) -> rpc.LiftBanResponse:
        await record_access_change(self._deps, request.user_id, lifted_ban(request))
        return rpc.LiftBanResponse()

    async def ListAccessChanges(
        self, request: rpc.ListAccessChangesRequest, context: Context
    ) -> rpc.ListAccessChangesResponse:
        page = await list_access_changes(self._deps.pool, request.after_version)
        return rpc.ListAccessChangesResponse(
            changes=[access_change_to_proto(user_id, change) for user_id, change in page.changes],
            version=page.version,
            has_more=page.has_more,
        )


def _people_to_proto(people: Sequence[Presence]) -> rpc.GetPresenceResponse:
    return rpc.GetPresenceResponse(people=[_presence_to_proto(each) for each in people])


def _presence_to_proto(presence: Presence) -> rpc.Presence:
    shown = rpc.Presence(user_id=presence.user_id, status=_NUMBERS[presence.status])
    if presence.seen_ms is not None:
        shown.last_seen_at.FromMilliseconds(presence.seen_ms)
    return shown
