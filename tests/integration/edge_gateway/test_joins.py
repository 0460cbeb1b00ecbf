"""A conversation is two services' knowledge of it: put together, it is never told as newer than both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientSession
from splits.chat.conversation.v1 import conversation_pb2 as conversation_pb
from splits.chat.conversation.v1 import service_pb2 as conversation_rpc
from splits.chat.message.v1 import message_pb2 as message_pb
from splits.chat.message.v1 import service_pb2 as message_rpc

from servicekit.realtime import RealtimePublisher
from tests.support.edge import Edge, ask, run_edge
from tests.support.issuer import Issuer
from tests.support.keys import Keys
from tests.support.resuming import come
from tests.support.sockets import WHERE, realtime, somebody

BEFORE, AFTER = 3, 4
_STATES = {BEFORE: message_pb.CONVERSATION_STATE_REQUEST, AFTER: message_pb.CONVERSATION_STATE_ACTIVE}
_FOLDERS = {BEFORE: message_pb.FOLDER_REQUESTS, AFTER: message_pb.FOLDER_INBOX}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def edge(keys: Keys, redis_url: str, issuer: Issuer) -> AsyncIterator[Edge]:
    async with run_edge(keys, redis_url, issuer) as running:
        yield running


def show(edge: Edge, *, details: list[int], view: int) -> None:
    """What the services say, by the version they know; the details one after the other, the last for good."""
    asked = iter(details)

    def conversations(_request: Any, _user: Any) -> conversation_rpc.GetConversationsResponse:
        return conversation_rpc.GetConversationsResponse(
            conversations=[conversation(next(asked, details[-1]))]
        )

    def views(_request: Any, _user: Any) -> message_rpc.GetMemberViewsResponse:
        return message_rpc.GetMemberViewsResponse(views=[member(view)])

    edge.services.answers["GetConversations"] = conversations
    edge.services.answers["GetMemberViews"] = views
    edge.services.answers["AcceptRequest"] = lambda _request, _user: conversation_rpc.AcceptRequestResponse(
        conversation=conversation(next(asked, details[-1]))
    )


def conversation(version: int) -> conversation_pb.Conversation:
    return conversation_pb.Conversation(
        id=WHERE,
        state=_STATES[version],
        kind=conversation_pb.CONVERSATION_KIND_DIRECT,
        initiator_id="ada",
        version=version,
    )


def member(version: int) -> message_pb.MemberView:
    return message_pb.MemberView(
        conversation_id=WHERE, last_seq=2, folder=_FOLDERS[version], state=_STATES[version], version=version
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", f"/v1/conversations/{WHERE}"), ("POST", f"/v1/conversations/{WHERE}/accept")],
)
async def test_details_that_are_older_than_the_view_are_read_again(
    edge: Edge, http: ClientSession, method: str, path: str
) -> None:
    show(edge, details=[BEFORE, AFTER], view=AFTER)
    shown = (await ask(http, edge, method, path)).body
    assert (shown["version"], shown["state"], shown["folder"]) == (AFTER, "active", "inbox")


async def test_a_change_that_one_service_does_not_know_yet_is_not_told_as_known(
    edge: Edge, http: ClientSession
) -> None:
    show(edge, details=[AFTER], view=BEFORE)
    shown = (await ask(http, edge, "GET", f"/v1/conversations/{WHERE}")).body
    # Whoever is told of version 4 later sees that there is something to fetch.
    assert (shown["version"], shown["folder"]) == (BEFORE, "requests")
    edge.services.answers["ListInbox"] = lambda _request, _user: message_rpc.ListInboxResponse(
        views=[member(BEFORE)]
    )
    page = (await ask(http, edge, "GET", "/v1/conversations?folder=requests")).body
    assert [each["version"] for each in page["items"]] == [BEFORE]


async def test_an_event_tells_one_version_of_a_conversation(edge: Edge, service: RealtimePublisher) -> None:
    for details, view, version, folder in (
        ([BEFORE, AFTER], AFTER, AFTER, "inbox"),
        ([AFTER], BEFORE, BEFORE, "requests"),
    ):
        show(edge, details=details, view=view)
        ada = somebody()
        raw, _ = await come(edge, ada)
        await service.publish([realtime("conversation.updated", ada)])
        told = (await raw.json())["data"]
        assert (told["conversation"]["version"], told["self"]["folder"]) == (version, folder)


async def test_details_that_stay_older_are_told_as_they_are(edge: Edge, http: ClientSession) -> None:
    show(edge, details=[BEFORE], view=AFTER)
    shown = (await ask(http, edge, "GET", f"/v1/conversations/{WHERE}")).body
    assert (shown["version"], shown["state"]) == (BEFORE, "request")


@pytest.mark.parametrize("release", ["before", "now"])
async def test_an_event_tells_the_totals_that_came_with_the_view_or_else_asks_for_them(
    edge: Edge, service: RealtimePublisher, release: str
) -> None:
    totals = message_pb.UnreadTotals(messages=5, conversations=2, requests=1)

    def views(request: Any, _user: Any) -> message_rpc.GetMemberViewsResponse:
        asked = release == "now" and request.with_unread
        return message_rpc.GetMemberViewsResponse(views=[member(AFTER)], unread=totals if asked else None)

    show(edge, details=[AFTER], view=AFTER)
    edge.services.answers["GetMemberViews"] = views
    ada = somebody()
    raw, _ = await come(edge, ada)
    edge.services.answers["GetUnread"] = lambda _request, _user: message_rpc.GetUnreadResponse(unread=totals)
    edge.services.calls.clear()
    await service.publish([realtime("conversation.updated", ada)])
    told = (await raw.json())["data"]
    assert told["unread"] == {"messages": 5, "conversations": 2, "requests": 1}
    assert edge.services.calls.count("GetUnread") == (1 if release == "before" else 0)
