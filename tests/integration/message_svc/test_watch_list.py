"""The watch list, and the welcomes that carry it to many people at once."""

from __future__ import annotations

import pytest
from splits.chat.message.v1 import service_pb2 as rpc

from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser
from tests.support.gates import active_gate, member, new_people
from tests.support.message_svc import TIMEOUT, MessageService


async def test_the_watch_list_says_what_changed_last_and_who_was_removed(service: MessageService) -> None:
    ada, bob = new_people(2)
    one, two = [await service.conversation_of([ada, bob], 2) for _ in range(2)]
    await service.read(bob, one, 1)
    await service.apply(active_gate(two, 2, [ada, member(bob, left=True)]))

    response = await service.watch_list(bob)

    items = [
        (item.conversation_id, item.last_seq, item.last_read_seq, item.removed) for item in response.items
    ]
    assert items == [(two, 0, 0, True), (one, 2, 1, False)]


async def test_the_watch_list_tells_the_removed_nothing_of_what_came_after(service: MessageService) -> None:
    ada, bob, eve = new_people(3)
    conversation = await service.conversation_of([ada, bob, eve], 2)
    await service.apply(active_gate(conversation, 2, [ada, bob, member(eve, left=True)]))

    before = await service.watch_list(eve)
    await service.send(ada, conversation, "after-eve")

    assert before.items[0].removed
    assert await service.watch_list(eve) == before


async def test_welcomes_are_for_each_what_they_are_told_alone(service: MessageService) -> None:
    ada, bob, eve = new_people(3)
    one, two = [await service.conversation_of([ada, bob], 3) for _ in range(2)]
    await service.read(bob, one, 1)
    await service.apply(active_gate(two, 2, [ada, member(bob, left=True)]))
    client, signer = service.client(), service.signer("edge_gateway")

    async def alone(user_id: str, **options: object) -> rpc.Welcome:
        listed = await service.watch_list(user_id, rpc.GetWatchListRequest(**options))  # type: ignore[arg-type]
        counted = await client.call(
            client.stub.GetUnread,
            rpc.GetUnreadRequest(),
            timeout=TIMEOUT,
            acting=ActingUser(user_id, "candidate"),
        )
        return rpc.Welcome(unread=counted.unread, items=listed.items, has_more=listed.HasField("next"))

    async def together(*asked: tuple[str, rpc.WelcomeAsk], limit: int = 0) -> list[rpc.Welcome]:
        people = [ActingUser(user_id, "candidate") for user_id, _ in asked]
        request = rpc.GetWelcomesRequest(
            acting_users=signer.assertion_together(people), people=[ask for _, ask in asked], limit=limit
        )
        return list((await client.call(client.stub.GetWelcomes, request, timeout=TIMEOUT)).welcomes)

    everything = rpc.WelcomeAsk()
    told = await together((bob, everything), (eve, everything), (ada, everything), (bob, everything))
    assert told == [await alone(bob), await alone(eve), await alone(ada), told[0]]
    assert [len(each.items) for each in told] == [2, 0, 2, 2]
    assert told[0].unread.messages == 2

    [short] = await together((ada, everything), limit=1)
    assert (len(short.items), short.has_more) == (1, True)
    latest = rpc.WelcomeAsk(changed_after=told[2].items[1].changed_at)
    assert [len(each.items) for each in await together((ada, latest), (ada, everything))] == [1, 2]

    with pytest.raises(ChatError) as refused:
        await client.call(
            client.stub.GetWelcomes,
            rpc.GetWelcomesRequest(
                acting_users=signer.assertion_together([ActingUser(ada, "candidate")]),
                people=[everything, everything],
            ),
            timeout=TIMEOUT,
        )
    assert refused.value.reason is Reason.VALIDATION_FAILED
