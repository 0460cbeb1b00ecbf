"""Messages that are sent while totals are read: what is told of a conversation with them is of one moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest_asyncio
from splits.chat.message.v1 import service_pb2 as rpc

from edge_gateway import joins
from edge_gateway.clients import Backends, Times, conversation_stub, message_stub, presence_stub
from edge_gateway.send_batches import Bounds
from servicekit.grpc_client import ServiceClient
from servicekit.identity import ActingUser
from tests.support.conversation_svc import ConversationService, new_person
from tests.support.gates import new_people
from tests.support.message_svc import TIMEOUT, MessageService
from tests.support.races import ROUNDS, at_last


@pytest_asyncio.fixture(loop_scope="session")
async def backends(conversations: ConversationService, messages: MessageService) -> AsyncIterator[Backends]:
    """The services as an edge asks them; nothing here asks presence_svc."""
    signer = conversations.signer()
    edge = Backends(
        ServiceClient(conversations.target, conversation_stub, signer),
        ServiceClient(messages.target, message_stub, signer),
        ServiceClient("127.0.0.1:1", presence_stub, signer),
        signer,
        Bounds(most=1, in_flight=1, waiting=1),
        Times(call_s=3, redact_s=3),
    )
    yield edge
    await edge.close()


async def look_while_sending(
    messages: MessageService, sender: str, conversation: str, look: Callable[[], Awaitable[None]]
) -> None:
    """`look` again and again, four at a time, while message after message is stored."""
    written = asyncio.Event()

    async def write() -> None:
        try:
            for number in range(ROUNDS // 5):
                await at_last(partial(messages.send, sender, conversation, f"c{number}"))
        finally:
            written.set()

    async def keep_looking() -> int:
        looks = 0
        while not written.is_set():
            await look()
            looks += 1
        return looks

    looks = asyncio.gather(*(keep_looking() for _ in range(4)))
    await write()
    assert sum(await looks) > 0


async def test_an_event_counts_what_its_conversation_shows(
    conversations: ConversationService, messages: MessageService, backends: Backends
) -> None:
    ada, bob = new_person(), new_person("candidate")
    await conversations.meet(ada, bob)
    conversation = await conversations.start(ada, bob)
    await conversations.accept(bob, conversation)

    async def look() -> None:
        told = (await joins.current(backends, bob, [conversation], [])).conversations[conversation]
        shown, own = told["conversation"], told["self"]
        # Bob has read nothing, and has one conversation.
        assert told["unread"]["messages"] == own["unreadCount"] == shown["lastSeq"]

    await look_while_sending(messages, ada.user_id, conversation, look)


async def test_a_read_mark_counts_what_is_left_unread_in_its_conversation(messages: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = await messages.conversation_of([ada, bob], 1)
    read = iter(range(1, 1_000_000))

    async def look() -> None:
        mark = await at_last(partial(messages.read, bob, conversation, next(read) // 4))
        assert mark.unread.messages == mark.unread_count

    await look_while_sending(messages, ada, conversation, look)


async def test_flags_are_answered_with_the_totals_of_the_view(messages: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = await messages.conversation_of([ada, bob], 1)
    client, acting = messages.client(), ActingUser(bob, "candidate")
    request = rpc.SetFlagsRequest(conversation_id=conversation, muted=False)

    async def set_flags() -> rpc.SetFlagsResponse:
        return await client.call(client.stub.SetFlags, request, timeout=TIMEOUT, acting=acting)

    async def look() -> None:
        answer = await at_last(set_flags)
        assert answer.unread.messages == answer.view.unread_count == answer.view.last_seq

    await look_while_sending(messages, ada, conversation, look)
