"""The gRPC face of conversation_svc: proto -> action -> proto. No rules here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

import grpc
from splits.chat.conversation.v1 import conversation_pb2 as pb
from splits.chat.conversation.v1 import service_pb2 as rpc
from splits.chat.conversation.v1 import service_pb2_grpc

from conversation_svc.actions.accept_request import accept_request
from conversation_svc.actions.connect_people import connect_people
from conversation_svc.actions.create_conversation import Created, create_conversation
from conversation_svc.actions.decline_request import decline_request
from conversation_svc.actions.delete_block import delete_block
from conversation_svc.actions.deps import Deps, Viewed
from conversation_svc.actions.get_companies import Viewing, get_companies
from conversation_svc.actions.get_conversations import get_conversations
from conversation_svc.actions.get_presence_rights import Question, get_presence_rights
from conversation_svc.actions.get_settings import get_settings
from conversation_svc.actions.list_blocks import list_blocks
from conversation_svc.actions.put_block import put_block
from conversation_svc.actions.put_mail_addresses import put_mail_addresses
from conversation_svc.actions.repush_gates import repush_gates
from conversation_svc.actions.sync_profile import sync_profile, sync_profiles
from conversation_svc.actions.update_settings import update_settings
from conversation_svc.actions.upsert_profiles import upsert_profiles
from conversation_svc.actions.withdraw_request import withdraw_request
from conversation_svc.callers import profile_of, writer
from conversation_svc.domain import PresenceRight, Profile, Refusal
from conversation_svc.messages import MOST_GATES
from conversation_svc.wire import (
    company_to_proto,
    context_from_proto,
    conversation_to_proto,
    instant,
    profile_from_proto,
    profile_to_proto,
    refusal_to_proto,
    refuse_nul,
    settings_to_proto,
    start_key_from_proto,
    timestamp,
)
from servicekit.errors import ChatError, Reason, Violation
from servicekit.identity import ActingUser, Trust, acting_user, current_caller

DEFAULT_LIMIT = 50

if TYPE_CHECKING:  # generic in its stubs only
    Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class ConversationServicer(service_pb2_grpc.ConversationServiceServicer):
    """See `protos/splits/chat/conversation/v1/service.proto` for what each call promises."""

    def __init__(self, deps: Deps, trust: Trust) -> None:
        self._deps = deps
        self._trust = trust

    async def SyncProfile(self, request: rpc.SyncProfileRequest, context: Context) -> rpc.SyncProfileResponse:
        user = acting_user()
        profile = profile_of(user)
        if user.impersonator is None:  # whoever looks through somebody's eyes writes nothing
            await sync_profile(self._deps, profile)
            await put_mail_addresses(self._deps, {user.user_id: user.email})
        return rpc.SyncProfileResponse(profile=profile_to_proto(profile))

    async def SyncProfiles(
        self, request: rpc.SyncProfilesRequest, context: Context
    ) -> rpc.SyncProfilesResponse:
        users = self._trust.verify_assertion_together(request.acting_users, current_caller())
        profiles = [_profile_or_none(user) for user in users]
        written = [
            (user, profile)
            for user, profile in zip(users, profiles, strict=True)
            # Whoever looks through somebody's eyes writes nothing.
            if profile is not None and user.impersonator is None
        ]
        await sync_profiles(self._deps, [profile for _, profile in written])
        # Of somebody with two tokens, the one that names an address.
        addresses = {user.user_id: user.email for user, _ in written if user.email}
        await put_mail_addresses(self._deps, addresses)
        return rpc.SyncProfilesResponse(
            people=[
                rpc.SyncedProfile(profile=None if profile is None else profile_to_proto(profile))
                for profile in profiles
            ]
        )

    async def CreateConversation(
        self, request: rpc.CreateConversationRequest, context: Context
    ) -> rpc.CreateConversationResponse:
        user = writer()
        refuse_nul(request)
        outcome = await create_conversation(
            self._deps,
            user,
            profile_of(user),
            request.recipient_id,
            context_from_proto(request.context),
            request.message,
            start_key_from_proto(request),
        )
        response = rpc.CreateConversationResponse()
        if isinstance(outcome, Created):
            response.created.conversation.CopyFrom(self._conversation(outcome.viewed))
            response.created.message.CopyFrom(outcome.message)
        elif isinstance(outcome, Viewed):
            response.existing.CopyFrom(self._conversation(outcome))
        else:
            response.refused.CopyFrom(refusal_to_proto(outcome))
        return response

    async def GetConversations(
        self, request: rpc.GetConversationsRequest, context: Context
    ) -> rpc.GetConversationsResponse:
        ids = [UUID(conversation_id) for conversation_id in request.conversation_ids]
        seen = await get_conversations(self._deps, acting_user().user_id, ids)
        return rpc.GetConversationsResponse(conversations=[self._conversation(each) for each in seen])

    async def AcceptRequest(
        self, request: rpc.AcceptRequestRequest, context: Context
    ) -> rpc.AcceptRequestResponse:
        outcome = await accept_request(self._deps, writer().user_id, UUID(request.conversation_id))
        if isinstance(outcome, Refusal):
            return rpc.AcceptRequestResponse(refused=refusal_to_proto(outcome))
        return rpc.AcceptRequestResponse(conversation=self._conversation(outcome))

    async def DeclineRequest(
        self, request: rpc.DeclineRequestRequest, context: Context
    ) -> rpc.DeclineRequestResponse:
        user = writer()
        refuse_nul(request)
        outcome = await decline_request(
            self._deps,
            user.user_id,
            UUID(request.conversation_id),
            reason=request.reason,
            block=request.block,
        )
        if isinstance(outcome, Refusal):
            return rpc.DeclineRequestResponse(refused=refusal_to_proto(outcome))
        return rpc.DeclineRequestResponse(conversation=self._conversation(outcome))

    async def WithdrawRequest(
        self, request: rpc.WithdrawRequestRequest, context: Context
    ) -> rpc.WithdrawRequestResponse:
        outcome = await withdraw_request(self._deps, writer().user_id, UUID(request.conversation_id))
        if isinstance(outcome, Refusal):
            return rpc.WithdrawRequestResponse(refused=refusal_to_proto(outcome))
        return rpc.WithdrawRequestResponse(conversation=self._conversation(outcome))

    async def PutBlock(self, request: rpc.PutBlockRequest, context: Context) -> rpc.PutBlockResponse:
        user = writer()
        refuse_nul(request)
        await put_block(self._deps, user.user_id, request.user_id)
        return rpc.PutBlockResponse()

    async def DeleteBlock(self, request: rpc.DeleteBlockRequest, context: Context) -> rpc.DeleteBlockResponse:
        user = writer()
        refuse_nul(request)
        await delete_block(self._deps, user.user_id, request.user_id)
        return rpc.DeleteBlockResponse()

    async def ListBlocks(self, request: rpc.ListBlocksRequest, context: Context) -> rpc.ListBlocksResponse:
        refuse_nul(request)
        after = None
        if request.HasField("after"):
            try:
                after = (instant(request.after.blocked_at), request.after.user_id)
            except (ValueError, OverflowError):
                violation = Violation("/after/blockedAt", "timestamp.range", "Not a time.")
                raise ChatError(
                    Reason.VALIDATION_FAILED, "The request is not valid.", violations=[violation]
                ) from None
        page = await list_blocks(self._deps, acting_user().user_id, after, request.limit or DEFAULT_LIMIT)
        response = rpc.ListBlocksResponse(
            blocks=[
                rpc.Block(user=profile_to_proto(person), blocked_at=timestamp(blocked_at))
                for person, blocked_at in page.blocks
            ]
        )
        if page.next is not None:
            blocked_at, user_id = page.next
            response.next.CopyFrom(rpc.BlockPosition(blocked_at=timestamp(blocked_at), user_id=user_id))
        return response

    async def GetSettings(self, request: rpc.GetSettingsRequest, context: Context) -> rpc.GetSettingsResponse:
        settings = await get_settings(self._deps, acting_user().user_id)
        return rpc.GetSettingsResponse(settings=settings_to_proto(settings))

    async def UpdateSettings(
        self, request: rpc.UpdateSettingsRequest, context: Context
    ) -> rpc.UpdateSettingsResponse:
        named = {field.name: bool(value) for field, value in request.ListFields()}
        settings = await update_settings(self._deps, writer().user_id, **named)
        return rpc.UpdateSettingsResponse(settings=settings_to_proto(settings))

    async def UpsertProfiles(
        self, request: rpc.UpsertProfilesRequest, context: Context
    ) -> rpc.UpsertProfilesResponse:
        refuse_nul(request)
        await upsert_profiles(self._deps, [profile_from_proto(profile) for profile in request.profiles])
        await put_mail_addresses(self._deps, dict(request.emails))
        return rpc.UpsertProfilesResponse()

    async def ConnectPeople(
        self, request: rpc.ConnectPeopleRequest, context: Context
    ) -> rpc.ConnectPeopleResponse:
        refuse_nul(request)
        await connect_people(self._deps, request.user_id, request.other_user_id)
        return rpc.ConnectPeopleResponse()

    async def GetCompanies(
        self, request: rpc.GetCompaniesRequest, context: Context
    ) -> rpc.GetCompaniesResponse:
        refuse_nul(request)
        viewings = [Viewing(each.viewer_id, UUID(each.conversation_id)) for each in request.viewings]
        companies = await get_companies(self._deps, viewings)
        return rpc.GetCompaniesResponse(companies=[company_to_proto(each) for each in companies])

    async def GetPresenceRights(
        self, request: rpc.GetPresenceRightsRequest, context: Context
    ) -> rpc.GetPresenceRightsResponse:
        refuse_nul(request)
        [rights] = await get_presence_rights(self._deps, [Question(request.viewer_id, request.user_ids)])
        return _rights_to_proto(rights)

    async def GetManyPresenceRights(
        self, request: rpc.GetManyPresenceRightsRequest, context: Context
    ) -> rpc.GetManyPresenceRightsResponse:
        refuse_nul(request)
        questions = [Question(each.viewer_id, each.user_ids) for each in request.questions]
        answers = await get_presence_rights(self._deps, questions)
        return rpc.GetManyPresenceRightsResponse(answers=map(_rights_to_proto, answers))

    async def RepushGates(self, request: rpc.RepushGatesRequest, context: Context) -> rpc.RepushGatesResponse:
        after = UUID(request.after_conversation_id) if request.after_conversation_id else None
        page = await repush_gates(self._deps, after, request.limit or MOST_GATES)
        return rpc.RepushGatesResponse(
            pushed=page.pushed,
            owed=page.owed,
            next_after_conversation_id=str(page.last) if page.last else "",
        )

    def _conversation(self, viewed: Viewed) -> pb.Conversation:
        return conversation_to_proto(
            viewed.situation,
            viewed.viewer,
        )


def _profile_or_none(user: ActingUser) -> Profile | None:
    try:
        return profile_of(user)
    except ChatError:
        return None  # one person's role is no reason to fail the others


def _rights_to_proto(rights: Sequence[PresenceRight]) -> rpc.GetPresenceRightsResponse:
    return rpc.GetPresenceRightsResponse(
        rights=[rpc.PresenceRight(user_id=each.user_id, visible=each.visible) for each in rights]
    )
