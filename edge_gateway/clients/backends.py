"""What the edge asks of the services behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from google.protobuf.timestamp_pb2 import Timestamp
from splits.chat.conversation.v1 import conversation_pb2 as conversation_pb
from splits.chat.conversation.v1 import service_pb2 as conversation_rpc
from splits.chat.conversation.v1 import service_pb2_grpc as conversation_grpc
from splits.chat.message.v1 import message_pb2 as message_pb
from splits.chat.message.v1 import service_pb2 as message_rpc
from splits.chat.message.v1 import service_pb2_grpc as message_grpc

from edge_gateway.clients.calls import Service, Times, time_left
from edge_gateway.clients.presence import PresenceCalls
from edge_gateway.send_batches import Bounds, Member, SendBatches
from servicekit.errors import OlderReleaseError
from servicekit.grpc_client import ServiceClient
from servicekit.identity import ActingUser, Signer

if TYPE_CHECKING:  # the stubs alone know the asynchronous flavour
    from edge_gateway.clients.presence import PresenceStub

    ConversationStub: TypeAlias = conversation_grpc.ConversationServiceAsyncStub
    MessageStub: TypeAlias = message_grpc.MessageServiceAsyncStub
conversation_stub: Callable[..., ConversationStub] = conversation_grpc.ConversationServiceStub
message_stub: Callable[..., MessageStub] = message_grpc.MessageServiceStub

TOGETHER = 64
"""Most people in one call, as the contracts have it."""


class Backends:
    """conversation_svc, message_svc and, as `presence`, presence_svc. Every method raises ChatError only."""

    def __init__(
        self,
        conversations: ServiceClient[ConversationStub],
        messages: ServiceClient[MessageStub],
        presence: ServiceClient[PresenceStub],
        signer: Signer,
        sends: Bounds,
        times: Times,
        *,
        on_send_call: Callable[[int], None] = lambda _sends: None,
    ) -> None:
        self._conversations = Service(conversations, times.call_s)
        self._messages = Service(messages, times.call_s)
        self.presence = PresenceCalls(Service(presence, times.call_s), signer)
        self._times = times
        self._signer = signer
        self._sends = SendBatches(self._send_messages, sends)
        self._on_send_call = on_send_call

    async def close(self) -> None:
        """Ends the connections."""
        await self._sends.close()
        await asyncio.gather(self._conversations.close(), self._messages.close(), self.presence.close())

    @property
    def sends_waiting(self) -> int:
        """Messages that wait for a call to message_svc."""
        return self._sends.waiting

    # --- conversation_svc ---------------------------------------------------------------------------------

    async def sync_profiles(self, users: Sequence[ActingUser]) -> Sequence[conversation_rpc.SyncedProfile]:
        """One for each of at most TOGETHER."""
        request = conversation_rpc.SyncProfilesRequest(acting_users=self._signer.assertion_together(users))
        stub = self._conversations.stub
        return (await self._conversations.call(stub.SyncProfiles, request, None)).people

    async def create_conversation(
        self,
        user: ActingUser,
        recipient_id: str,
        context: conversation_pb.Context | None,
        message: message_pb.NewMessage,
        *,
        idempotency_key: str = "",
    ) -> conversation_rpc.CreateConversationResponse:
        request = conversation_rpc.CreateConversationRequest(
            recipient_id=recipient_id, context=context, message=message, idempotency_key=idempotency_key
        )
        stub = self._conversations.stub
        return await self._conversations.call(stub.CreateConversation, request, user)

    async def get_conversations(
        self, user: ActingUser, ids: Sequence[str]
    ) -> dict[str, conversation_pb.Conversation]:
        if not ids:
            return {}
        request = conversation_rpc.GetConversationsRequest(conversation_ids=ids)
        stub = self._conversations.stub
        response = await self._conversations.call(stub.GetConversations, request, user)
        return {conversation.id: conversation for conversation in response.conversations}

    async def accept_request(
        self, user: ActingUser, conversation_id: str
    ) -> conversation_rpc.AcceptRequestResponse:
        request = conversation_rpc.AcceptRequestRequest(conversation_id=conversation_id)
        return await self._conversations.call(self._conversations.stub.AcceptRequest, request, user)

    async def decline_request(
        self, user: ActingUser, conversation_id: str, *, reason: str, block: bool
    ) -> conversation_rpc.DeclineRequestResponse:
        request = conversation_rpc.DeclineRequestRequest(
            conversation_id=conversation_id, reason=reason, block=block
        )
        return await self._conversations.call(self._conversations.stub.DeclineRequest, request, user)

    async def withdraw_request(
        self, user: ActingUser, conversation_id: str
    ) -> conversation_rpc.WithdrawRequestResponse:
        request = conversation_rpc.WithdrawRequestRequest(conversation_id=conversation_id)
        return await self._conversations.call(self._conversations.stub.WithdrawRequest, request, user)

    async def put_block(self, user: ActingUser, user_id: str) -> None:
        request = conversation_rpc.PutBlockRequest(user_id=user_id)
        await self._conversations.call(self._conversations.stub.PutBlock, request, user)

    async def delete_block(self, user: ActingUser, user_id: str) -> None:
        request = conversation_rpc.DeleteBlockRequest(user_id=user_id)
        await self._conversations.call(self._conversations.stub.DeleteBlock, request, user)

    async def list_blocks(
        self, user: ActingUser, limit: int, after: conversation_rpc.BlockPosition | None
    ) -> conversation_rpc.ListBlocksResponse:
        request = conversation_rpc.ListBlocksRequest(limit=limit, after=after)
        return await self._conversations.call(self._conversations.stub.ListBlocks, request, user)

    async def get_settings(self, user: ActingUser) -> conversation_rpc.Settings:
        request = conversation_rpc.GetSettingsRequest()
        stub = self._conversations.stub
        return (await self._conversations.call(stub.GetSettings, request, user)).settings

    async def update_settings(
        self, user: ActingUser, request: conversation_rpc.UpdateSettingsRequest
    ) -> conversation_rpc.Settings:
        stub = self._conversations.stub
        return (await self._conversations.call(stub.UpdateSettings, request, user)).settings

    # --- message_svc --------------------------------------------------------------------------------------

    async def send_message(
        self, user: ActingUser, conversation_id: str, message: message_pb.NewMessage
    ) -> message_rpc.SendOutcome:
        """May share its call with the sends of others."""
        send = message_rpc.Send(
            acting_user=self._signer.assertion(user), conversation_id=conversation_id, message=message
        )
        return await self._sends.send(send, sender_id=user.user_id, timeout=time_left(self._times.call_s))

    async def _send_messages(
        self, members: Sequence[Member], timeout: float
    ) -> Sequence[message_rpc.SendOutcome]:
        self._on_send_call(len(members))
        asked = message_rpc.SendMessagesRequest(sends=[member.send for member in members])
        # A call of one is made in its sender's own span; one of many links to theirs, where they are kept.
        together = len(members) > 1
        spans = [each.span for each in members if each.span.is_recording()] if together else ()
        stub = self._messages.stub
        try:
            request = message_rpc.StreamSendsRequest(call=asked)
            streamed = await self._messages.call(
                stub.StreamSends, request, None, timeout=timeout, serves=spans
            )
            return streamed.answer.outcomes
        except OlderReleaseError:  # in the middle of an upgrade, or on the way back from one
            answer = await self._messages.call(stub.SendMessages, asked, None, timeout=timeout, serves=spans)
            return answer.outcomes

    async def list_messages(
        self, user: ActingUser, request: message_rpc.ListMessagesRequest
    ) -> message_rpc.ListMessagesResponse:
        return await self._messages.call(self._messages.stub.ListMessages, request, user)

    async def get_messages(
        self, user: ActingUser, refs: Sequence[tuple[str, int]]
    ) -> Sequence[message_pb.Message]:
        """Those of (conversation, seq) that the user may read."""
        if not refs:
            return ()
        request = message_rpc.GetMessagesRequest(
            refs=[message_rpc.MessageRef(conversation_id=where, seq=seq) for where, seq in refs]
        )
        return (await self._messages.call(self._messages.stub.GetMessages, request, user)).messages

    async def list_changes(
        self, user: ActingUser, conversation_id: str, after: int, limit: int
    ) -> message_rpc.ListChangesResponse:
        request = message_rpc.ListChangesRequest(
            conversation_id=conversation_id, after_change_seq=after, limit=limit
        )
        return await self._messages.call(self._messages.stub.ListChanges, request, user)

    async def edit_message(
        self, user: ActingUser, conversation_id: str, message_id: str, text: str
    ) -> message_rpc.EditMessageResponse:
        request = message_rpc.EditMessageRequest(
            conversation_id=conversation_id, message_id=message_id, text=text
        )
        return await self._messages.call(self._messages.stub.EditMessage, request, user)

    async def redact_message(
        self, user: ActingUser, conversation_id: str, message_id: str
    ) -> message_rpc.RedactMessageResponse:
        request = message_rpc.RedactMessageRequest(conversation_id=conversation_id, message_id=message_id)
        stub = self._messages.stub
        return await self._messages.call(stub.RedactMessage, request, user, timeout=self._times.redact_s)

    async def set_flags(
        self, user: ActingUser, conversation_id: str, *, muted: bool | None, archived: bool | None
    ) -> message_pb.MemberView:
        request = message_rpc.SetFlagsRequest(conversation_id=conversation_id, muted=muted, archived=archived)
        return (await self._messages.call(self._messages.stub.SetFlags, request, user)).view

    async def mark_read(
        self, user: ActingUser, conversation_id: str, last_read_seq: int
    ) -> message_rpc.MarkReadResponse:
        request = message_rpc.MarkReadRequest(conversation_id=conversation_id, last_read_seq=last_read_seq)
        return await self._messages.call(self._messages.stub.MarkRead, request, user)

    async def list_inbox(
        self,
        user: ActingUser,
        which: message_rpc.InboxList.ValueType,
        limit: int,
        after: message_rpc.InboxPosition | None,
    ) -> message_rpc.ListInboxResponse:
        request = message_rpc.ListInboxRequest(list=which, limit=limit, after=after)
        return await self._messages.call(self._messages.stub.ListInbox, request, user)

    async def get_member_views(
        self, user: ActingUser, ids: Sequence[str]
    ) -> dict[str, message_pb.MemberView]:
        if not ids:
            return {}
        request = message_rpc.GetMemberViewsRequest(conversation_ids=ids)
        response = await self._messages.call(self._messages.stub.GetMemberViews, request, user)
        return {view.conversation_id: view for view in response.views}

    async def get_member_views_and_unread(
        self, user: ActingUser, ids: Sequence[str]
    ) -> tuple[dict[str, message_pb.MemberView], message_pb.UnreadTotals]:
        """Of at least one id, and the totals, of one moment.

        A message_svc of the release before answers without totals; they are then asked for afterwards.
        """
        request = message_rpc.GetMemberViewsRequest(conversation_ids=ids, with_unread=True)
        response = await self._messages.call(self._messages.stub.GetMemberViews, request, user)
        unread = response.unread if response.HasField("unread") else await self.get_unread(user)
        return {view.conversation_id: view for view in response.views}, unread

    async def get_unread(self, user: ActingUser) -> message_pb.UnreadTotals:
        request = message_rpc.GetUnreadRequest()
        return (await self._messages.call(self._messages.stub.GetUnread, request, user)).unread

    async def get_welcomes(
        self, asked: Sequence[tuple[ActingUser, Timestamp | None]], limit: int
    ) -> Sequence[message_rpc.Welcome]:
        """One for each of at most TOGETHER: who asks, and from when on what changed."""
        request = message_rpc.GetWelcomesRequest(
            acting_users=self._signer.assertion_together([user for user, _ in asked]),
            people=[message_rpc.WelcomeAsk(changed_after=after) for _, after in asked],
            limit=limit,
        )
        return (await self._messages.call(self._messages.stub.GetWelcomes, request, None)).welcomes

    async def get_watch_list(
        self,
        user: ActingUser,
        limit: int,
        *,
        after: message_rpc.WatchPosition | None = None,
    ) -> message_rpc.GetWatchListResponse:
        request = message_rpc.GetWatchListRequest(limit=limit, after=after)
        return await self._messages.call(self._messages.stub.GetWatchList, request, user)
