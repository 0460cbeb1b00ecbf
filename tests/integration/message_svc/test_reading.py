"""Pages of messages, and what people who may not know learn from them."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message
from splits.chat.message.v1 import service_pb2 as rpc

from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser
from tests.support.gates import active_gate, member, new_conversation_id, new_people
from tests.support.message_svc import TIMEOUT, MessageService


async def page(
    service: MessageService, user_id: str, request: rpc.ListMessagesRequest
) -> tuple[list[int], bool, bool]:
    client = service.client()
    response = await client.call(
        client.stub.ListMessages, request, timeout=TIMEOUT, acting=ActingUser(user_id, "candidate")
    )
    return [message.seq for message in response.messages], response.has_older, response.has_newer


async def test_pages_stand_before_after_and_around_a_message(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = await service.conversation_of([ada, bob], 10)

    def ask(**position: int) -> rpc.ListMessagesRequest:
        return rpc.ListMessagesRequest(conversation_id=conversation, limit=4, **position)

    assert await page(service, bob, ask()) == ([7, 8, 9, 10], True, False)
    assert await page(service, bob, ask(before_seq=4)) == ([1, 2, 3], False, True)
    assert await page(service, bob, ask(after_seq=5)) == ([6, 7, 8, 9], True, True)
    assert await page(service, bob, ask(after_seq=10)) == ([], True, False)
    assert await page(service, bob, ask(before_seq=1)) == ([], False, True)
    assert await page(service, bob, ask(around_seq=5)) == ([3, 4, 5, 6], True, True)
    assert await page(service, bob, ask(around_seq=1)) == ([1, 2, 3, 4], False, True)
    assert await page(service, bob, ask(around_seq=10)) == ([7, 8, 9, 10], True, False)
    assert await page(service, bob, ask(after_seq=2**64 - 1)) == ([], True, False)
    assert await page(service, bob, ask(before_seq=2**64 - 1)) == ([7, 8, 9, 10], True, False)
    for limit in (1, 4):
        beyond = rpc.ListMessagesRequest(conversation_id=conversation, limit=limit, around_seq=11)
        assert await page(service, bob, beyond) == (list(range(11 - limit, 11)), True, False)


async def test_pages_of_any_size_anywhere_are_what_a_slice_would_be(service: MessageService) -> None:
    ada, bob = new_people(2)
    everything = list(range(1, 6))
    conversation = await service.conversation_of([ada, bob], len(everything))

    for limit in (1, 2, 4, 5, 6):
        for seq in (0, 1, 3, 5, 6, 2**63 - 1, 2**63, 2**64 - 1):
            for position in ("before_seq", "after_seq", "around_seq"):
                request = rpc.ListMessagesRequest(
                    conversation_id=conversation, limit=limit, **{position: seq}
                )
                found, has_older, has_newer = await page(service, bob, request)
                if position == "before_seq":
                    assert found == [one for one in everything if one < seq][-limit:]
                elif position == "after_seq":
                    assert found == [one for one in everything if one > seq][:limit]
                else:
                    assert found == everything[found[0] - 1 :][: min(limit, 5)]
                    assert seq in found or not 1 <= seq <= 5
                if found:
                    assert (has_older, has_newer) == (found[0] > 1, found[-1] < 5)


async def test_a_stranger_and_a_missing_conversation_read_alike(service: MessageService) -> None:
    ada, bob, eve = new_people(3)
    conversation = await service.conversation_of([ada, bob], 1)
    answers = []
    for asked in (conversation, new_conversation_id()):
        with pytest.raises(ChatError) as caught:
            await page(service, eve, rpc.ListMessagesRequest(conversation_id=asked))
        answers.append((caught.value.reason, caught.value.message))
        with pytest.raises(ChatError) as caught:
            await service.read(eve, asked, 1)
        answers.append((caught.value.reason, caught.value.message))

    assert set(answers) == {(Reason.NOT_FOUND, "Conversation not found.")}


async def test_a_block_changes_nothing_that_the_blocked_can_read(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = await service.conversation_of([ada, bob], 3)

    async def everything() -> list[Message | None]:
        return [
            await service.view(ada, conversation),
            await service.inbox(ada, rpc.ListInboxRequest()),
            await service.watch_list(ada),
        ]

    before = await everything()
    blocked = {"can_send": False, "shares_receipts": False}
    await service.apply(
        active_gate(conversation, 2, [member(ada, **blocked), member(bob, version=2, **blocked)])
    )

    assert await everything() == before


async def test_the_largest_batch_is_taken_and_the_largest_page_comes_back(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = await service.conversation_of([ada, bob], 1)
    largest = "\U0001f600" * 8000

    outcomes = await service.send_batch(
        *(service.new_send(ada, conversation, f"big{number}", largest) for number in range(64))
    )
    refs = [rpc.MessageRef(conversation_id=conversation, seq=seq) for seq in range(2, 66)]
    client = service.client()
    found = await client.call(
        client.stub.GetMessages,
        rpc.GetMessagesRequest(refs=refs * 7),
        timeout=TIMEOUT,
        acting=ActingUser(bob, "candidate"),
    )

    assert all(outcome.HasField("stored") for outcome in outcomes)
    assert len(found.messages) == 64
