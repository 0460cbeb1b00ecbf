"""Sockets of an edge under test, and the events that are published to them."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Any

import orjson
from google.protobuf.timestamp_pb2 import Timestamp
from splits.chat.conversation.v1 import conversation_pb2 as conversation_pb
from splits.chat.conversation.v1 import service_pb2 as conversation_rpc
from splits.chat.message.v1 import message_pb2 as message_pb
from splits.chat.message.v1 import service_pb2 as message_rpc

from edge_gateway.views import rfc3339
from servicekit.outbox.events import RealtimeEvent
from tests.support import contract
from tests.support.edge import PAGE, Edge
from tests.support.rawsocket import RawSocket, frame

WHERE = "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"
OTHER = "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5c"


def somebody() -> str:
    """A user nobody else has."""
    return f"user-{uuid.uuid4().hex[:12]}"


def event(name: str = "message.created", where: str = WHERE, number: int = 1, **data: object) -> bytes:
    """What the publisher puts on a channel."""
    body: dict[str, object] = {
        "type": name,
        "eventId": str(uuid.uuid4()),
        "eventVersion": 1,
        "occurredAt": rfc3339(datetime.now(UTC)),
        "conversationId": where,
    }
    if data:
        body["data"] = data
    return f"17-{number}\n".encode() + orjson.dumps(body)


def message_event(seq: int, text: str = "hi") -> bytes:
    return event(
        number=seq,
        message={
            "id": str(uuid.uuid4()),
            "clientMessageId": f"c{seq}",
            "conversationId": WHERE,
            "seq": seq,
            "changeSeq": seq,
            "senderId": "ada",
            "kind": "text",
            "text": text,
            "links": [],
            "attachments": [],
            "replyToId": None,
            "createdAt": "2026-01-02T03:04:05.678Z",
            "editedAt": None,
            "redactedAt": None,
            "redactedBy": None,
        },
    )


def stored_message(seq: int, text: str = "hi", where: str = WHERE) -> message_pb.Message:
    """A message as message_svc shows it."""
    return message_pb.Message(
        id=str(uuid.uuid4()),
        client_message_id=f"c{seq}",
        conversation_id=where,
        seq=seq,
        change_seq=seq,
        sender_id="ada",
        kind=message_pb.MESSAGE_KIND_TEXT,
        text=text,
        created_at=Timestamp(seconds=1_767_323_045),
    )


def realtime(name: str, user: str, where: str | None = WHERE, **refs: object) -> RealtimeEvent:
    """An event as services publish it; its data is its refs, unless it is about something to look up."""
    data: dict[str, object] | None = dict(refs)
    if name.startswith("conversation."):
        data = None
    elif name.startswith("message."):
        data = {"message": {**refs, "text": "as it was published"}}
    return RealtimeEvent(
        event_id=uuid.uuid4(),
        name=name,
        recipients=(user,),
        conversation_id=None if where is None else uuid.UUID(where),
        refs=dict(refs),
        occurred_at=datetime.now(UTC),
        data=data,
    )


async def connect(edge: Edge, user: str, *, token: str | None = None, **options: Any) -> RawSocket:
    """A socket, upgraded or not."""
    bearer = edge.issuer.token(user) if token is None else token
    headers = {"Origin": PAGE, "Sec-WebSocket-Protocol": f"chat.v1, bearer.{bearer}"}
    return await RawSocket.connect(f"{edge.url}/ws/chat", headers, **options)


async def enter(edge: Edge, user: str, **options: Any) -> RawSocket:
    """A socket whose welcome is read."""
    raw = await connect(edge, user, **options)
    assert raw.status == 101
    assert raw.headers["sec-websocket-protocol"] == "chat.v1"
    welcome, caught_up = await raw.json(), await raw.json()
    contract.check_frame(welcome)
    assert (welcome["type"], caught_up["type"]) == ("system.welcome", "system.caught_up")
    return raw


async def say(raw: RawSocket, **body: object) -> None:
    raw.send(frame(orjson.dumps(body)))


def show_conversation(
    edge: Edge,
    *,
    gate: asyncio.Event | None = None,
    state: int = message_pb.CONVERSATION_STATE_ACTIVE,
) -> list[str]:
    """Lets the services answer joins; returns the ids asked for, in order."""
    asked: list[str] = []

    async def details(request: Any, _user: Any) -> conversation_rpc.GetConversationsResponse:
        asked.extend(request.conversation_ids)
        if gate is not None:
            await gate.wait()
        shown = [
            conversation_pb.Conversation(
                id=where,
                state=state,  # type: ignore[arg-type]
                kind=conversation_pb.CONVERSATION_KIND_DIRECT,
                initiator_id="ada",
                policy=conversation_pb.Policy(can_send=True),
                version=3,
            )
            for where in request.conversation_ids
        ]
        return conversation_rpc.GetConversationsResponse(conversations=shown)

    def member(request: Any, _user: Any) -> message_rpc.GetMemberViewsResponse:
        views = [
            message_pb.MemberView(conversation_id=where, last_seq=2, folder=message_pb.FOLDER_INBOX)
            for where in request.conversation_ids
        ]
        totals = message_pb.UnreadTotals() if request.with_unread else None
        return message_rpc.GetMemberViewsResponse(views=views, unread=totals)

    edge.services.answers["GetConversations"] = details
    edge.services.answers["GetMemberViews"] = member
    return asked


def hold_welcomes(edge: Edge) -> tuple[asyncio.Event, asyncio.Event]:
    """Welcomes wait: the first event says that one does, the second lets them go on."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(_request: Any, _user: Any) -> message_rpc.GetUnreadResponse:
        asked.set()
        await go_on.wait()
        return message_rpc.GetUnreadResponse()

    edge.services.answers["GetUnread"] = slowly
    return asked, go_on
