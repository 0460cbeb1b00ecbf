"""ApplyGates and OpenConversation: what is held, and what it does."""

from __future__ import annotations

import asyncio

import pytest
from splits.chat.message.v1 import message_pb2 as pb
from splits.chat.message.v1 import service_pb2 as rpc

from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser
from tests.support.gates import active_gate, member, new_conversation_id, new_people, request_gate
from tests.support.message_svc import TIMEOUT, MessageService


async def test_a_lower_version_is_not_applied_and_the_held_one_is_named(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = new_conversation_id()
    await service.apply(active_gate(conversation, 5, [ada, bob]))

    held = await service.apply(active_gate(conversation, 4, [member(ada, can_send=False), bob]))

    assert (held[0].gate_version, held[0].differs) == (5, False)
    assert (await service.send(ada, conversation, "c1")).stored.seq == 1


async def test_the_same_version_again_is_held_and_only_other_content_differs(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = new_conversation_id()
    gate = active_gate(conversation, 5, [ada, bob])
    await service.apply(gate)

    again = await service.apply(gate)
    other = await service.apply(active_gate(conversation, 5, [member(ada, can_send=False), bob]))

    assert (again[0].gate_version, again[0].differs) == (5, False)
    assert (other[0].gate_version, other[0].differs) == (5, True)


async def test_gates_of_many_conversations_are_applied_together(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversations = [new_conversation_id() for _ in range(40)]

    held = await service.apply(*(active_gate(one, 1, [ada, bob]) for one in conversations))

    assert [one.conversation_id for one in held] == conversations
    client = service.client("conversation_svc")
    versions = await client.call(
        client.stub.GetGateVersions,
        rpc.GetGateVersionsRequest(conversation_ids=[*conversations, unknown := new_conversation_id()]),
        timeout=TIMEOUT,
    )
    assert [one.gate_version for one in versions.held] == [1] * 40 + [0]
    assert versions.held[-1].conversation_id == unknown


async def test_pushes_of_the_same_conversations_in_any_order_do_not_deadlock(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversations = [new_conversation_id() for _ in range(20)]

    async def push(version: int) -> None:
        order = conversations if version % 2 else conversations[::-1]
        await service.apply(*(active_gate(one, version, [ada, bob]) for one in order))

    await asyncio.gather(*(push(version) for version in range(1, 30)))

    client = service.client("conversation_svc")
    request = rpc.GetGateVersionsRequest(conversation_ids=conversations)
    versions = await client.call(client.stub.GetGateVersions, request, timeout=TIMEOUT)
    assert {one.gate_version for one in versions.held} == {29}


async def test_opening_stores_gate_and_message_and_shows_the_conversation(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = new_conversation_id()

    response = await service.open(request_gate(conversation, 1, ada, bob), ada, "Hello Bob")

    assert (response.held_version, response.message.seq, response.message.text) == (1, 1, "Hello Bob")
    sent, received = await service.view(ada, conversation), await service.view(bob, conversation)
    assert sent is not None
    assert received is not None
    assert (sent.folder, sent.unread_count) == (pb.FOLDER_SENT, 0)
    assert (received.folder, received.unread_count) == (pb.FOLDER_REQUESTS, 1)


async def test_opening_again_answers_with_the_stored_message(service: MessageService) -> None:
    ada, bob = new_people(2)
    gate = request_gate(new_conversation_id(), 1, ada, bob)

    first, again = await service.open(gate, ada), await service.open(gate, ada)

    assert first.message == again.message


async def test_a_gate_that_overtook_the_opening_decides_it(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = new_conversation_id()
    blocked = request_gate(conversation, 2, ada, bob)
    blocked.members[0].can_send = False
    blocked.members[0].refusal = pb.REFUSAL_REASON_REQUEST_PENDING
    await service.apply(blocked)

    response = await service.open(request_gate(conversation, 1, ada, bob), ada)

    assert response.held_version == 2
    assert response.refused.reason == pb.REFUSAL_REASON_REQUEST_PENDING
    assert await service.view(ada, conversation) is None
    assert await service.view(bob, conversation) is None


async def test_a_conversation_without_a_message_is_invisible(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = new_conversation_id()
    await service.apply(active_gate(conversation, 1, [ada, bob]))

    assert await service.view(ada, conversation) is None


async def test_a_pending_request_takes_no_second_message_and_asks_the_recipient_to_accept(
    service: MessageService,
) -> None:
    ada, bob = new_people(2)
    conversation = new_conversation_id()
    await service.open(request_gate(conversation, 1, ada, bob), ada)

    more, answer = (
        await service.send(ada, conversation, "c2"),
        await service.send(bob, conversation, "b1"),
    )

    assert more.refused.reason == pb.REFUSAL_REASON_REQUEST_PENDING
    assert answer.refused.reason == pb.REFUSAL_REASON_ACCEPT_REQUIRED


async def test_accepting_moves_both_folders_and_lets_both_write(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = new_conversation_id()
    await service.open(request_gate(conversation, 1, ada, bob), ada)

    await service.apply(active_gate(conversation, 2, [ada, bob]))

    assert (await service.send(bob, conversation, "b1")).stored.seq == 2
    assert (await service.send(ada, conversation, "a2")).stored.seq == 3
    for person in (ada, bob):
        view = await service.view(person, conversation)
        assert view is not None
        assert (view.folder, view.unread_count) == (pb.FOLDER_INBOX, 1 if person == ada else 2)


async def test_a_gate_without_a_state_is_refused_and_not_applied(service: MessageService) -> None:
    ada, bob = new_people(2)
    nameless = active_gate(new_conversation_id(), 1, [ada, bob])
    nameless.state = pb.CONVERSATION_STATE_UNSPECIFIED
    half = active_gate(new_conversation_id(), 1, [ada, member(bob, state=pb.CONVERSATION_STATE_UNSPECIFIED)])

    for gate in (nameless, half):
        with pytest.raises(ChatError) as refused:
            await service.apply(gate)
        assert refused.value.reason is Reason.VALIDATION_FAILED
        assert (await service.send(ada, gate.conversation_id, "c1")).HasField("refused")


async def test_whoever_left_neither_reads_nor_writes(service: MessageService) -> None:
    ada, bob, eve = new_people(3)
    conversation = new_conversation_id()
    await service.open(active_gate(conversation, 1, [ada, bob, eve]), ada)

    await service.apply(active_gate(conversation, 2, [ada, bob, member(eve, left=True)]))

    outcome = await service.send(eve, conversation, "e1")
    assert outcome.refused.reason == pb.REFUSAL_REASON_NOT_FOUND
    assert await service.view(eve, conversation) is None


async def test_what_is_held_says_whether_the_first_message_is_stored(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = new_conversation_id()
    client = service.client("conversation_svc")

    async def opened() -> bool:
        request = rpc.GetGateVersionsRequest(conversation_ids=[conversation])
        return (await client.call(client.stub.GetGateVersions, request, timeout=TIMEOUT)).held[0].opened

    assert not await opened()
    assert not (await service.apply(active_gate(conversation, 1, [ada, bob])))[0].opened
    assert not await opened()
    await service.open(active_gate(conversation, 2, [ada, bob]), ada)
    assert await opened()
    assert (await service.apply(active_gate(conversation, 3, [ada, bob])))[0].opened
    assert (await service.apply(active_gate(conversation, 3, [ada, bob])))[0].opened


async def test_flags_do_not_survive_leaving(service: MessageService) -> None:
    ada, bob, eve = new_people(3)
    conversation = new_conversation_id()
    await service.open(active_gate(conversation, 1, [ada, bob, eve]), ada)
    client = service.client()
    flags = rpc.SetFlagsRequest(conversation_id=conversation, muted=True, archived=True)
    acting = ActingUser(eve, "candidate")
    await client.call(client.stub.SetFlags, flags, timeout=TIMEOUT, acting=acting)

    await service.apply(active_gate(conversation, 2, [ada, bob, member(eve, left=True)]))
    await service.apply(active_gate(conversation, 3, [ada, bob, eve]))

    view = await service.view(eve, conversation)
    assert view is not None
    assert (view.muted, view.archived, view.folder) == (False, False, pb.FOLDER_INBOX)


async def test_an_archived_request_that_ends_leaves_the_list_of_the_archived_too(
    service: MessageService,
) -> None:
    ada, bob = new_people(2)
    conversation = new_conversation_id()
    await service.open(request_gate(conversation, 1, ada, bob), ada)
    client, acting = service.client(), ActingUser(bob, "candidate")
    flags = rpc.SetFlagsRequest(conversation_id=conversation, muted=True, archived=True)
    await client.call(client.stub.SetFlags, flags, timeout=TIMEOUT, acting=acting)

    closed = {"state": pb.CONVERSATION_STATE_EXPIRED, "folder": pb.FOLDER_UNSPECIFIED, "can_send": False}
    people = [member(ada, version=2, **closed), member(bob, version=2, **closed)]
    await service.apply(active_gate(conversation, 2, people))

    request = rpc.ListInboxRequest(list=rpc.INBOX_LIST_ARCHIVED)
    page = await client.call(client.stub.ListInbox, request, timeout=TIMEOUT, acting=acting)
    assert list(page.views) == []
    view = await service.view(bob, conversation)
    assert view is not None
    assert (view.archived, view.muted) == (False, True)


async def test_whoever_a_gate_does_not_name_any_more_is_as_one_who_left(service: MessageService) -> None:
    ada, bob, eve = new_people(3)
    conversation, other = new_conversation_id(), new_conversation_id()
    for one in (conversation, other):
        await service.open(active_gate(one, 1, [ada, bob, eve]), ada)

    await service.apply(active_gate(conversation, 2, [ada, bob]))

    client, acting = service.client(), ActingUser(eve, "candidate")
    assert await service.view(eve, conversation) is None
    inbox = await client.call(client.stub.ListInbox, rpc.ListInboxRequest(), timeout=TIMEOUT, acting=acting)
    assert [view.conversation_id for view in inbox.views] == [other]
    request = rpc.ListMessagesRequest(conversation_id=conversation)
    with pytest.raises(ChatError) as refused:
        await client.call(client.stub.ListMessages, request, timeout=TIMEOUT, acting=acting)
    assert refused.value.reason is Reason.NOT_FOUND
    await service.apply(active_gate(conversation, 3, [ada, bob, eve]))
    again = await service.view(eve, conversation)
    assert again is not None
    assert (again.last_read_seq, again.unread_count) == (1, 0)
