"""The services behind one real gRPC server with the real interceptors: each RPC answers as the test says.

For what real services do only when they are at fault; the edge with the real ones is tested end to end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from splits.chat.conversation.v1 import conversation_pb2 as conversation_pb
from splits.chat.conversation.v1 import service_pb2 as conversation_rpc
from splits.chat.conversation.v1 import service_pb2_grpc as conversation_grpc
from splits.chat.message.v1 import message_pb2 as message_pb
from splits.chat.message.v1 import service_pb2 as message_rpc
from splits.chat.message.v1 import service_pb2_grpc as message_grpc
from splits.chat.presence.v1 import service_pb2 as presence_rpc
from splits.chat.presence.v1 import service_pb2_grpc as presence_grpc

from edge_gateway.views import ROLES
from servicekit.errors import ChatError, Reason
from servicekit.grpc_server import GrpcServer
from servicekit.identity import ActingUser, Trust, current_caller
from servicekit.identity import acting_user as current_user
from servicekit.settings import GrpcServerSettings
from tests.support.keys import Keys

Answer = Callable[[Any, ActingUser | None], Any]
"""From the request and the person it is for, to the response; may be asynchronous, may raise ChatError."""

SERVICES = (
    "splits.chat.conversation.v1.ConversationService",
    "splits.chat.message.v1.MessageService",
    "splits.chat.presence.v1.PresenceService",
)
_FOR_NOBODY = (
    "SendMessages",
    "GetWelcomes",
    "SyncProfiles",
    "WatchConversations",
    "GetPresences",
    "ReportConnections",
    "ListAccessChanges",
)
"""Not for one acting user."""
_ROLES = {name: number for number, name in ROLES.items()}


class Scripted:
    """GetWelcomes, SyncProfiles and GetPresences answer for each person what GetUnread, GetWatchList,
    SyncProfile and GetPresence do, WatchConversations what "Watch" says of a conversation and its viewer.

    `answers` by RPC name; `calls` are the names of those that were made; GetMessages shows `messages`."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        self.messages: dict[tuple[str, int], message_pb.Message] = {}
        self.answers: dict[str, Answer] = {
            "SyncProfile": _profile,
            "GetUnread": lambda _request, _user: message_rpc.GetUnreadResponse(
                unread=message_pb.UnreadTotals()
            ),
            "GetWatchList": lambda _request, _user: message_rpc.GetWatchListResponse(),
            "GetWelcomes": self._welcomes,
            "SyncProfiles": self._profiles,
            "WatchConversations": self._watches,
            "GetPresences": self._presences,
            "GetMessages": self._messages,
            "ListAccessChanges": lambda _request, _user: presence_rpc.ListAccessChangesResponse(),
            "ReportConnections": lambda _request, _user: presence_rpc.ReportConnectionsResponse(),
            "SetTyping": lambda _request, _user: presence_rpc.SetTypingResponse(),
            "GetSettings": lambda _request, _user: conversation_rpc.GetSettingsResponse(
                settings=conversation_rpc.Settings(read_receipts=True, typing_indicators=True, presence=True)
            ),
        }
        self.calls: list[str] = []

    def keep(self, *messages: message_pb.Message) -> None:
        """What GetMessages shows from now on."""
        self.messages |= {(each.conversation_id, each.seq): each for each in messages}

    def _messages(self, request: Any, _user: ActingUser | None) -> message_rpc.GetMessagesResponse:
        found = [self.messages.get((ref.conversation_id, ref.seq)) for ref in request.refs]
        return message_rpc.GetMessagesResponse(messages=[each for each in found if each is not None])

    async def _welcomes(self, request: Any, _user: ActingUser | None) -> message_rpc.GetWelcomesResponse:
        async def welcome(user: ActingUser, ask: message_rpc.WelcomeAsk) -> message_rpc.Welcome:
            after = ask.changed_after if ask.HasField("changed_after") else None
            listed = message_rpc.GetWatchListRequest(limit=request.limit, changed_after=after)
            counted, watched = await asyncio.gather(
                self._answer("GetUnread", message_rpc.GetUnreadRequest(), user),
                self._answer("GetWatchList", listed, user),
            )
            return message_rpc.Welcome(
                unread=counted.unread, items=watched.items, has_more=watched.HasField("next")
            )

        users = self._trust.verify_assertion_together(request.acting_users, current_caller())
        each = [welcome(user, ask) for user, ask in zip(users, request.people, strict=True)]
        return message_rpc.GetWelcomesResponse(welcomes=await asyncio.gather(*each))

    async def _profiles(
        self, request: Any, _user: ActingUser | None
    ) -> conversation_rpc.SyncProfilesResponse:
        users = self._trust.verify_assertion_together(request.acting_users, current_caller())
        asked = conversation_rpc.SyncProfileRequest()
        told = await asyncio.gather(*(self._answer("SyncProfile", asked, user) for user in users))
        people = [conversation_rpc.SyncedProfile(profile=each.profile) for each in told]
        return conversation_rpc.SyncProfilesResponse(people=people)

    async def _watches(
        self, request: Any, _user: ActingUser | None
    ) -> presence_rpc.WatchConversationsResponse:
        users = self._trust.verify_assertion_together(request.acting_users, current_caller())
        asked = zip(request.conversation_ids, users, strict=True)
        watches = await asyncio.gather(*(self._answer("Watch", where, user) for where, user in asked))
        return presence_rpc.WatchConversationsResponse(watches=watches)

    async def _presences(self, request: Any, _user: ActingUser | None) -> presence_rpc.GetPresencesResponse:
        users = self._trust.verify_assertion_together(request.acting_users, current_caller())
        asked = zip(request.questions, users, strict=True)
        answers = await asyncio.gather(*(self._answer("GetPresence", each, user) for each, user in asked))
        return presence_rpc.GetPresencesResponse(answers=answers)

    async def answer(self, name: str, request: Any) -> Any:
        """What the RPC of that name does."""
        assert current_caller().kind == "edge"
        return await self._answer(name, request, None if name in _FOR_NOBODY else current_user())

    async def _answer(self, name: str, request: Any, user: ActingUser | None) -> Any:
        self.calls.append(name)
        if name not in self.answers:
            raise ChatError(Reason.INTERNAL, f"the test has no answer for {name}")
        outcome = self.answers[name](request, user)
        return await outcome if isinstance(outcome, Awaitable) else outcome


def _profile(_request: Any, user: ActingUser | None) -> conversation_rpc.SyncProfileResponse:
    assert user is not None
    profile = conversation_pb.Profile(
        user_id=user.user_id,
        display_name=user.display_name,
        role=_ROLES[user.role],  # type: ignore[arg-type]
    )
    return conversation_rpc.SyncProfileResponse(profile=profile)


def _servicer(base: type[Any], scripted: Scripted) -> Any:
    def method(name: str) -> Any:
        async def handle(_self: Any, request: Any, _context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            return await scripted.answer(name, request)

        return handle

    names = [name for name in vars(base) if name[0].isupper()]
    return type("ScriptedServicer", (base,), {name: method(name) for name in names})()


@asynccontextmanager
async def serve_scripted(keys: Keys, port: int = 0) -> AsyncIterator[tuple[Scripted, str]]:
    """The running server and its target."""
    trust = keys.trust()
    scripted = Scripted(trust)

    def add(server: grpc.aio.Server) -> None:
        conversation_grpc.add_ConversationServiceServicer_to_server(
            _servicer(conversation_grpc.ConversationServiceServicer, scripted), server
        )
        message_grpc.add_MessageServiceServicer_to_server(
            _servicer(message_grpc.MessageServiceServicer, scripted), server
        )
        presence_grpc.add_PresenceServiceServicer_to_server(
            _servicer(presence_grpc.PresenceServiceServicer, scripted), server
        )

    server = GrpcServer(
        settings=GrpcServerSettings(grpc_port=port, grpc_drain_seconds=0.0),
        trust=trust,
        add_servicers=add,
        service_names=SERVICES,
    )
    bound = await server.start()
    try:
        yield scripted, f"127.0.0.1:{bound}"
    finally:
        await server.drain()


async def never() -> Any:
    """An answer that does not come."""
    await asyncio.Event().wait()
