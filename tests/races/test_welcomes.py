"""Messages that are sent while a welcome is read: its totals and its watch list are of one moment."""

from __future__ import annotations

import asyncio
from functools import partial

from splits.chat.message.v1 import service_pb2 as rpc

from servicekit.identity import ActingUser
from tests.support.gates import active_gate, new_conversation_id, new_people
from tests.support.message_svc import TIMEOUT, MessageService
from tests.support.races import ROUNDS, at_last


async def test_what_a_welcome_counts_is_what_its_watch_list_shows(messages: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = new_conversation_id()
    await messages.apply(active_gate(conversation, 1, [ada, bob]))
    edge = messages.client("edge_gateway")
    asking = messages.signer("edge_gateway").assertion_together([ActingUser(bob, "candidate")])
    welcome = rpc.GetWelcomesRequest(acting_users=asking, people=[rpc.WelcomeAsk()])
    written = asyncio.Event()

    async def write() -> None:
        try:
            for number in range(ROUNDS):
                await at_last(partial(messages.send, ada, conversation, f"c{number}"))
        finally:
            written.set()

    async def look() -> int:
        looks = 0
        while not written.is_set():
            [found] = (await edge.call(edge.stub.GetWelcomes, welcome, timeout=TIMEOUT)).welcomes
            # Bob has read nothing, so the last message's number is how many he has not.
            assert found.unread.messages == sum(item.last_seq for item in found.items)
            looks += 1
        return looks

    looks = asyncio.gather(*(look() for _ in range(4)))
    await write()
    assert sum(await looks) > 0
