"""Read marks, and the receipts that others get of them."""

from __future__ import annotations

import pytest
from splits.chat.message.v1 import service_pb2 as rpc

from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser
from tests.support.gates import active_gate, member, new_conversation_id, new_people, request_gate
from tests.support.message_svc import TIMEOUT, MessageService


async def watched(service: MessageService, user_id: str, conversation: str) -> rpc.WatchItem:
    """The conversation's entry in somebody's watch list."""
    listed = await service.watch_list(user_id)
    (item,) = [item for item in listed.items if item.conversation_id == conversation]
    return item


def moved_between(old: rpc.WatchItem, new: rpc.WatchItem) -> bool:
    return new.changed_at.ToNanoseconds() > old.changed_at.ToNanoseconds()


async def test_a_read_mark_goes_forward_only_and_stops_at_the_last_message(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = await service.conversation_of([ada, bob], 5)

    marks = [await service.read(bob, conversation, seq) for seq in (3, 2, 2**64 - 1, 0)]

    assert [(mark.last_read_seq, mark.unread_count) for mark in marks] == [(3, 2), (3, 2), (5, 0), (5, 0)]


async def test_whoever_impersonates_may_not_mark_as_read(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = await service.conversation_of([ada, bob], 2)
    client = service.client()

    with pytest.raises(ChatError) as caught:
        await client.call(
            client.stub.MarkRead,
            rpc.MarkReadRequest(conversation_id=conversation, last_read_seq=2),
            timeout=TIMEOUT,
            acting=ActingUser(bob, "candidate", impersonator="support_1"),
        )

    assert caught.value.reason is Reason.FORBIDDEN
    view = await service.view(bob, conversation)
    assert view is not None
    assert (view.last_read_seq, view.unread_count) == (0, 2)


async def test_receipts_wait_for_the_acceptance_and_stop_at_a_block(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = new_conversation_id()
    await service.open(request_gate(conversation, 1, ada, bob), ada)
    await service.read(bob, conversation, 1)

    async def seen_by_ada() -> list[int]:
        view = await service.view(ada, conversation)
        assert view is not None
        return [pointer.last_read_seq for pointer in view.read_pointers]

    assert await seen_by_ada() == []
    await service.apply(active_gate(conversation, 2, [ada, bob]))
    assert await seen_by_ada() == [1]
    await service.send(ada, conversation, "c2")
    await service.apply(
        active_gate(conversation, 3, [member(ada, can_send=False), member(bob, shares_receipts=False)])
    )
    await service.read(bob, conversation, 2)
    assert await seen_by_ada() == [1]


async def test_a_receipt_is_a_change_in_the_watch_lists_of_exactly_those_who_get_it(
    service: MessageService,
) -> None:
    ada, bob, eve, gone = new_people(4)
    conversation = await service.conversation_of([ada, bob, eve, gone], 2)
    hiding = [member(ada), member(bob), member(eve, receipts_hidden=True, version=2), member(gone, left=True)]
    await service.apply(active_gate(conversation, 2, hiding))

    async def all_watched() -> list[rpc.WatchItem]:
        return [await watched(service, person, conversation) for person in (ada, bob, eve, gone)]

    before = await all_watched()
    await service.read(bob, conversation, 1)
    told = await all_watched()
    await service.read(bob, conversation, 1)
    assert await all_watched() == told  # where it stood already, nobody is told anything

    moved = [moved_between(*pair) for pair in zip(before, told, strict=True)]
    assert moved == [True, True, False, False]
    assert (told[0].last_seq, told[0].change_seq, told[0].version) == (
        before[0].last_seq,
        before[0].change_seq,
        before[0].version,
    )


async def test_what_is_read_in_secret_moves_no_other_watch_list(service: MessageService) -> None:
    ada, bob = new_people(2)
    requested, shut, hidden = [new_conversation_id() for _ in range(3)]
    await service.open(request_gate(requested, 1, ada, bob), ada)
    blocked = {"can_send": False, "shares_receipts": False}
    for conversation, people in (
        (shut, [member(ada, **blocked), member(bob, version=2, **blocked)]),
        (hidden, [member(ada), member(bob, version=2, receipts_hidden=True)]),
    ):
        await service.open(active_gate(conversation, 1, [ada, bob]), ada)
        await service.apply(active_gate(conversation, 2, people))
    conversations = (requested, shut, hidden)

    before = [await watched(service, ada, one) for one in conversations]
    for one in conversations:
        assert (await service.read(bob, one, 1)).last_read_seq == 1

    assert [await watched(service, ada, one) for one in conversations] == before


async def test_receipts_that_a_push_reveals_are_a_change_for_those_who_get_them(
    service: MessageService,
) -> None:
    ada, bob, eve = new_people(3)
    conversation = await service.conversation_of([ada, bob, eve], 2)
    people = [member(ada), member(bob), member(eve, receipts_hidden=True)]
    secretive = [member(ada), member(bob, shares_receipts=False), people[2]]
    await service.apply(active_gate(conversation, 2, secretive))
    await service.read(bob, conversation, 2)
    before = [await watched(service, person, conversation) for person in (ada, bob, eve)]

    await service.apply(active_gate(conversation, 3, people))

    after = [await watched(service, person, conversation) for person in (ada, bob, eve)]
    view = await service.view(ada, conversation)
    assert view is not None
    assert [(pointer.user_id, pointer.last_read_seq) for pointer in view.read_pointers] == [(bob, 2)]
    moved = [moved_between(*pair) for pair in zip(before, after, strict=True)]
    assert moved == [True, False, False]
