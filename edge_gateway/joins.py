"""What two services know, put together: conversation_svc's details and message_svc's member view.

A conversation that either does not show is not there for the caller; one without a message is not there for
anybody.

A change is committed by conversation_svc first and known to message_svc afterwards. So details that are older
than the member view were read too early, and are read again. Details that are newer are a change under way:
what is told then has the older version (`views.version`), and whoever hears of the newer one knows to fetch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from splits.chat.conversation.v1 import conversation_pb2 as conversation_pb
from splits.chat.message.v1 import message_pb2 as message_pb

from edge_gateway import problems, views
from edge_gateway.clients import Backends
from edge_gateway.views import Json
from servicekit.identity import ActingUser


async def conversation(backends: Backends, user: ActingUser, conversation_id: str) -> Json:
    """`Conversation` as the user sees it. Raises ProblemError `not_found`."""
    ids = [conversation_id]
    details, members = await asyncio.gather(
        backends.get_conversations(user, ids), backends.get_member_views(user, ids)
    )
    found = await _up_to_date(backends, user, details, members)
    return _joined(found.get(conversation_id), members.get(conversation_id), user)


async def with_view(backends: Backends, user: ActingUser, details: conversation_pb.Conversation) -> Json:
    """`Conversation` whose details are at hand. Raises ProblemError `not_found`."""
    members = await backends.get_member_views(user, [details.id])
    found = await _up_to_date(backends, user, {details.id: details}, members)
    return _joined(found.get(details.id), members.get(details.id), user)


async def with_member(backends: Backends, user: ActingUser, view: message_pb.MemberView) -> Json:
    """`Conversation` whose member view is at hand. Raises ProblemError `not_found`."""
    details = await backends.get_conversations(user, [view.conversation_id])
    return _joined(details.get(view.conversation_id), view, user)


async def page(backends: Backends, user: ActingUser, members: Sequence[message_pb.MemberView]) -> list[Json]:
    """Conversations of a page of the inbox, in its order."""
    details = await backends.get_conversations(user, [view.conversation_id for view in members])
    return [
        views.conversation(details[view.conversation_id], view, user.user_id)
        for view in members
        if view.conversation_id in details and view.last_seq
    ]


@dataclass(frozen=True, slots=True)
class Current:
    """What a person sees now; what is not there for them is absent."""

    conversations: Mapping[str, Json]
    """`data` of `conversation.*` frames, by conversation."""
    messages: Mapping[tuple[str, int], Json]
    """`Message`, by conversation and number."""


async def current(
    backends: Backends, user: ActingUser, conversations: Sequence[str], messages: Sequence[tuple[str, int]]
) -> Current:
    """What events about these have to say to the user now. Raises ChatError."""
    told, found = await asyncio.gather(
        _told(backends, user, conversations), backends.get_messages(user, messages)
    )
    return Current(told, {(each.conversation_id, each.seq): views.message(each) for each in found})


async def _told(backends: Backends, user: ActingUser, conversations: Sequence[str]) -> dict[str, Json]:
    if not conversations:
        return {}
    # View and totals are one answer: a message stored between two of them would be counted in one only.
    details, (members, totals) = await asyncio.gather(
        backends.get_conversations(user, conversations),
        backends.get_member_views_and_unread(user, conversations),
    )
    details = await _up_to_date(backends, user, details, members)
    return {
        each: views.conversation_event(details[each], members[each], totals)
        for each in conversations
        if each in details and each in members
    }


async def _up_to_date(
    backends: Backends,
    user: ActingUser,
    details: dict[str, conversation_pb.Conversation],
    members: Mapping[str, message_pb.MemberView],
) -> dict[str, conversation_pb.Conversation]:
    """The details, those that are older than the member's view read once more."""
    old = [
        each for each, known in details.items() if each in members and known.version < members[each].version
    ]
    if not old:
        return details
    again = await backends.get_conversations(user, old)
    return {each: known for each, known in details.items() if each not in old} | again


def _joined(
    details: conversation_pb.Conversation | None, view: message_pb.MemberView | None, user: ActingUser
) -> Json:
    if details is None or view is None or not view.last_seq:
        raise problems.not_found()
    return views.conversation(details, view, user.user_id)
