"""The gRPC face of message_svc: proto -> action -> proto. No rules here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias
from uuid import UUID

import asyncpg
import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from splits.chat.message.v1 import message_pb2 as pb
from splits.chat.message.v1 import service_pb2 as rpc
from splits.chat.message.v1 import service_pb2_grpc

from message_svc import store
from message_svc.actions.apply_gates import apply_gates
from message_svc.actions.edit_message import Edit, edit_message
from message_svc.actions.list_changes import list_changes
from message_svc.actions.list_messages import NEWEST, Position, list_messages
from message_svc.actions.mark_read import mark_read
from message_svc.actions.open_conversation import open_conversation
from message_svc.actions.redact_message import redact_message
from message_svc.actions.send_batches import SendBatches
from message_svc.actions.set_flags import set_flags
from message_svc.answers import held_gate, member_view, seen_by, send_outcome, unread_totals, watch_item
from message_svc.codec import (
    gate_from_proto,
    instant,
    message_to_proto,
    refusal_to_proto,
    timestamp,
)
from message_svc.domain import (
    MAX_SEQ,
    Folder,
    NewMessage,
    Refused,
    hash_body,
)
from message_svc.domain.links import find_links
from servicekit.clock import Clock
from servicekit.errors import ChatError, Reason, Violation
from servicekit.identity import ActingUser, Trust, acting_user, current_caller
from servicekit.ids import new_id
from servicekit.outbox import Outbox
from servicekit.telemetry import current_traceparent

DEFAULT_LIMIT = 50
WATCH_LIST_LIMIT = 200
# Sorts after every row there is: the start of a list that is read from the newest.
_BEYOND = (datetime.max.replace(tzinfo=UTC), UUID(int=2**128 - 1))
_BEGINNING = datetime.min.replace(tzinfo=UTC)
MODERATORS = frozenset({"moderator", "admin"})
# Every list but that of the archived is a folder.
_LISTS = {
    rpc.INBOX_LIST_UNSPECIFIED: Folder.INBOX,
    rpc.INBOX_LIST_INBOX: Folder.INBOX,
    rpc.INBOX_LIST_REQUESTS: Folder.REQUESTS,
    rpc.INBOX_LIST_SENT: Folder.SENT,
}


if TYPE_CHECKING:  # generic in its stubs only
    Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class MessageServicer(service_pb2_grpc.MessageServiceServicer):
    """See `protos/splits/chat/message/v1/service.proto` for what each call promises."""

    def __init__(
        self,
        *,
        pool: asyncpg.Pool,
        outbox: Outbox,
        batches: SendBatches,
        clock: Clock,
        trust: Trust,
        hash_key: bytes,
        edit_window: timedelta,
        written_window: timedelta,
    ) -> None:
        self._pool = pool
        self._outbox = outbox
        self._batches = batches
        self._clock = clock
        self._trust = trust
        self._hash_key = hash_key
        self._edit_window = edit_window
        self._written_window = written_window

    async def OpenConversation(
        self, request: rpc.OpenConversationRequest, context: Context
    ) -> rpc.OpenConversationResponse:
        gate = gate_from_proto(request.gate)
        first = self._new_message(
            acting_user(), gate.conversation_id, request.first_message, current_traceparent()
        )
        held, decision = await open_conversation(
            self._pool, self._outbox, self._clock, self._written_window, gate, first
        )
        response = rpc.OpenConversationResponse(held_version=held.gate_version, differs=held.differs)
        if isinstance(decision, Refused):
            response.refused.CopyFrom(refusal_to_proto(decision))
        else:
            response.message.CopyFrom(message_to_proto(seen_by(first.sender_id, decision)))
        return response

    async def ApplyGates(self, request: rpc.ApplyGatesRequest, context: Context) -> rpc.ApplyGatesResponse:
        gates = [gate_from_proto(gate) for gate in request.gates]
        if len({gate.conversation_id for gate in gates}) != len(gates):
            raise ChatError(Reason.VALIDATION_FAILED, "A conversation is named twice.")
        held = await apply_gates(self._pool, self._outbox, self._clock, gates)
        return rpc.ApplyGatesResponse(held=[held_gate(one) for one in held])

    async def GetGateVersions(
        self, request: rpc.GetGateVersionsRequest, context: Context
    ) -> rpc.GetGateVersionsResponse:
        ids = [UUID(conversation_id) for conversation_id in request.conversation_ids]
        found = await store.get_gate_versions(self._pool, ids)
        held = [(one, *found.get(one, (0, 0))) for one in ids]
        return rpc.GetGateVersionsResponse(
            held=[
                rpc.HeldGate(conversation_id=str(one), gate_version=version, opened=last_seq > 0)
                for one, version, last_seq in held
            ]
        )

    async def SendMessages(
        self, request: rpc.SendMessagesRequest, context: Context
    ) -> rpc.SendMessagesResponse:
        outcomes = [rpc.SendOutcome()] * len(request.sends)  # each is put in place below
        caller, traceparent = current_caller(), current_traceparent()
        places: list[int] = []
        news: list[NewMessage] = []
        for place, send in enumerate(request.sends):
            try:
                user = self._trust.verify_assertion(send.acting_user, caller)
            except ChatError as error:
                fault = rpc.SendFault(code=error.reason.value, message=str(error))
                outcomes[place] = rpc.SendOutcome(fault=fault)
                continue
            if user.impersonator is not None:
                outcomes[place] = rpc.SendOutcome(refused=refusal_to_proto(Refused.FORBIDDEN))
                continue
            places.append(place)
            new = self._new_message(user, UUID(send.conversation_id), send.message, traceparent)
            news.append(new)
        if news:
            found = await self._batches.send(news)
            for place, new, outcome in zip(places, news, found, strict=True):
                outcomes[place] = send_outcome(new.sender_id, outcome)
        return rpc.SendMessagesResponse(outcomes=outcomes)

    def StreamSends(self, request_iterator: object, context: Context) -> NoReturn:
        raise NotImplementedError  # the server has SendMessages answer each call that it carries

    async def ListMessages(
        self, request: rpc.ListMessagesRequest, context: Context
    ) -> rpc.ListMessagesResponse:
        where = request.WhichOneof("position")
        position = NEWEST
        if where == "before_seq":
            position = Position("before", request.before_seq)
        elif where == "after_seq":
            position = Position("after", request.after_seq)
        elif where == "around_seq":
            position = Position("around", request.around_seq)
        page = await list_messages(
            self._pool,
            acting_user().user_id,
            UUID(request.conversation_id),
            position,
            request.limit or DEFAULT_LIMIT,
        )
        return rpc.ListMessagesResponse(
            messages=[message_to_proto(message) for message in page.messages],
            has_older=page.has_older,
            has_newer=page.has_newer,
        )

    async def MarkRead(self, request: rpc.MarkReadRequest, context: Context) -> rpc.MarkReadResponse:
        mark = await mark_read(
            self._pool,
            self._outbox,
            self._clock,
            _writer().user_id,
            UUID(request.conversation_id),
            request.last_read_seq,
        )
        return rpc.MarkReadResponse(
            last_read_seq=mark.last_read_seq, unread_count=mark.unread, unread=unread_totals(mark.totals)
        )

    async def ListInbox(self, request: rpc.ListInboxRequest, context: Context) -> rpc.ListInboxResponse:
        limit = request.limit or DEFAULT_LIMIT
        before = _BEYOND
        if request.HasField("after"):
            before = (
                _instant(request.after.activity_at, "/after/activityAt"),
                UUID(request.after.conversation_id),
            )
        user_id, folder = acting_user().user_id, _LISTS.get(request.list)
        if folder is None:
            views = await store.list_archived(self._pool, user_id, before, limit + 1)
        else:
            views = await store.list_inbox(self._pool, user_id, folder, before, limit + 1)
        response = rpc.ListInboxResponse(views=[member_view(view) for view in views[:limit]])
        if len(views) > limit:
            last = views[limit - 1].member
            response.next.CopyFrom(
                rpc.InboxPosition(
                    activity_at=timestamp(last.activity_at or last.changed_at),
                    conversation_id=str(last.conversation_id),
                )
            )
        return response

    async def GetMemberViews(
        self, request: rpc.GetMemberViewsRequest, context: Context
    ) -> rpc.GetMemberViewsResponse:
        ids = list(dict.fromkeys(UUID(conversation_id) for conversation_id in request.conversation_ids))
        user_id = acting_user().user_id
        if not request.with_unread:
            views = await store.get_member_views(self._pool, user_id, ids)
            return rpc.GetMemberViewsResponse(views=[member_view(view) for view in views])
        # Of one moment: they are told in one frame, and a message stored between the two would be in one of
        # them only.
        async with self._pool.acquire() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
            views = await store.get_member_views(conn, user_id, ids)
            totals = await store.count_totals(conn, user_id)
        return rpc.GetMemberViewsResponse(
            views=[member_view(view) for view in views], unread=unread_totals(totals)
        )

    async def GetUnread(self, request: rpc.GetUnreadRequest, context: Context) -> rpc.GetUnreadResponse:
        return rpc.GetUnreadResponse(
            unread=unread_totals(await store.count_totals(self._pool, acting_user().user_id))
        )

    async def GetWelcomes(self, request: rpc.GetWelcomesRequest, context: Context) -> rpc.GetWelcomesResponse:
        users = self._trust.verify_assertion_together(request.acting_users, current_caller())
        if len(users) != len(request.people):
            violation = Violation("/people", "count", "Not as many as the assertion names.")
            raise ChatError(Reason.VALIDATION_FAILED, "The request is not valid.", violations=[violation])
        moments = [
            _instant(ask.changed_after, f"/people/{place}/changedAfter")
            if ask.HasField("changed_after")
            else _BEGINNING
            for place, ask in enumerate(request.people)
        ]
        asked = [(user.user_id, after) for user, after in zip(users, moments, strict=True)]
        limit = request.limit or WATCH_LIST_LIMIT
        # Of one moment: a client takes a message whose number it knows for counted, so one that was stored
        # between the two would be counted twice or never.
        async with self._pool.acquire() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
            totals = await store.count_totals_together(conn, [user_id for user_id, _ in asked])
            lists = await store.get_watch_lists(conn, asked, limit + 1)
        return rpc.GetWelcomesResponse(
            welcomes=[
                rpc.Welcome(
                    unread=unread_totals(counted),
                    items=[watch_item(item) for item in items[:limit]],
                    has_more=len(items) > limit,
                )
                for counted, items in zip(totals, lists, strict=True)
            ]
        )

    async def GetWatchList(
        self, request: rpc.GetWatchListRequest, context: Context
    ) -> rpc.GetWatchListResponse:
        limit = request.limit or WATCH_LIST_LIMIT
        before = _BEYOND
        if request.HasField("after"):
            before = (
                _instant(request.after.changed_at, "/after/changedAt"),
                UUID(request.after.conversation_id),
            )
        after = _BEGINNING
        if request.HasField("changed_after"):
            after = _instant(request.changed_after, "/changedAfter")
        items = await store.get_watch_list(self._pool, acting_user().user_id, before, limit + 1, after)
        response = rpc.GetWatchListResponse(items=[watch_item(item) for item in items[:limit]])
        if len(items) > limit:
            last = items[limit - 1].member
            response.next.CopyFrom(
                rpc.WatchPosition(
                    changed_at=timestamp(last.changed_at), conversation_id=str(last.conversation_id)
                )
            )
        return response

    async def EditMessage(self, request: rpc.EditMessageRequest, context: Context) -> rpc.EditMessageResponse:
        edit = Edit(_writer().user_id, UUID(request.conversation_id), UUID(request.message_id), request.text)
        outcome = await edit_message(self._pool, self._outbox, self._clock, edit, window=self._edit_window)
        if isinstance(outcome, Refused):
            return rpc.EditMessageResponse(refused=refusal_to_proto(outcome))
        return rpc.EditMessageResponse(message=message_to_proto(outcome))

    async def RedactMessage(
        self, request: rpc.RedactMessageRequest, context: Context
    ) -> rpc.RedactMessageResponse:
        user = _writer()
        outcome = await redact_message(
            self._pool,
            self._outbox,
            self._clock,
            user_id=user.user_id,
            moderates=user.role in MODERATORS,
            conversation_id=UUID(request.conversation_id),
            message_id=UUID(request.message_id),
        )
        if isinstance(outcome, Refused):
            return rpc.RedactMessageResponse(refused=refusal_to_proto(outcome))
        return rpc.RedactMessageResponse(message=message_to_proto(outcome))

    async def ListChanges(self, request: rpc.ListChangesRequest, context: Context) -> rpc.ListChangesResponse:
        messages, has_more = await list_changes(
            self._pool,
            acting_user().user_id,
            UUID(request.conversation_id),
            request.after_change_seq,
            request.limit or DEFAULT_LIMIT,
        )
        return rpc.ListChangesResponse(
            messages=[message_to_proto(message) for message in messages], has_more=has_more
        )

    async def GetMessages(self, request: rpc.GetMessagesRequest, context: Context) -> rpc.GetMessagesResponse:
        keys = list(dict.fromkeys((UUID(ref.conversation_id), min(ref.seq, MAX_SEQ)) for ref in request.refs))
        messages = await store.get_messages_for_member(self._pool, acting_user().user_id, keys)
        return rpc.GetMessagesResponse(messages=[message_to_proto(message) for message in messages])

    async def SetFlags(self, request: rpc.SetFlagsRequest, context: Context) -> rpc.SetFlagsResponse:
        view, totals = await set_flags(
            self._pool,
            self._outbox,
            self._clock,
            user_id=_writer().user_id,
            conversation_id=UUID(request.conversation_id),
            muted=request.muted if request.HasField("muted") else None,
            archived=request.archived if request.HasField("archived") else None,
        )
        return rpc.SetFlagsResponse(view=member_view(view), unread=unread_totals(totals))

    def _new_message(
        self, user: ActingUser, conversation_id: UUID, message: pb.NewMessage, traceparent: str | None
    ) -> NewMessage:
        reply_to_id = UUID(message.reply_to_id) if message.reply_to_id else None
        return NewMessage(
            id=new_id(),
            conversation_id=conversation_id,
            sender_id=user.user_id,
            client_message_id=message.client_message_id,
            text=message.text,
            body_hash=hash_body(self._hash_key, message.text, reply_to_id),
            reply_to_id=reply_to_id,
            links=find_links(message.text),
            traceparent=traceparent,
        )


def _instant(stamp: Timestamp, pointer: str) -> datetime:
    try:
        return instant(stamp)
    except (ValueError, OverflowError):
        violation = Violation(pointer, "timestamp.range", "Not a time.")
        raise ChatError(
            Reason.VALIDATION_FAILED, "The request is not valid.", violations=[violation]
        ) from None


def _writer() -> ActingUser:
    """Whoever acts, for calls that change something: nobody does so in another's name."""
    user = acting_user()
    if user.impersonator is not None:
        raise ChatError(Reason.FORBIDDEN, "Whoever acts as somebody else may only read.")
    return user
