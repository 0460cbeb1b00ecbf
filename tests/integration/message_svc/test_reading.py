"""Read marks, pages, the inbox and the watch list."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message
from splits.chat.message.v1 import message_pb2 as pb
from splits.chat.message.v1 import service_pb2 as rpc

from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser
from tests.support.gates import active_gate, member, new_conversation_id, new_people, request_gate
from tests.support.message_svc import TIMEOUT, MessageService


async def conversation_of(service: MessageService, people: list[str], texts: int) -> str:
    """An active conversation in which the first person wrote `texts` messages."""
    conversation = new_conversation_id()
    await service.open(active_gate(conversation, 1, people), people[0], "1")
    for number in range(2, texts + 1):
        await service.send(people[0], conversation, f"c{number}", str(number))
    return conversation


async def page(
    service: MessageService, user_id: str, request: rpc.ListMessagesRequest
) -> tuple[list[int], bool, bool]:
    client = service.client()
    response = await client.call(
        client.stub.ListMessages, request, timeout=TIMEOUT, acting=ActingUser(user_id, "candidate")
    )
    return [message.seq for message in response.messages], response.has_older, response.has_newer


async def inbox(
    service: MessageService, user_id: str, request: rpc.ListInboxRequest
) -> rpc.ListInboxResponse:
    client = service.client()
    return await client.call(
        client.stub.ListInbox, request, timeout=TIMEOUT, acting=ActingUser(user_id, "candidate")
    )


async def unread(service: MessageService, user_id: str) -> tuple[int, int, int]:
    client = service.client()
    response = await client.call(
        client.stub.GetUnread,
        rpc.GetUnreadRequest(),
        timeout=TIMEOUT,
        acting=ActingUser(user_id, "candidate"),
    )
    return response.unread.messages, response.unread.conversations, response.unread.requests


async def test_pages_stand_before_after_and_around_a_message(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = await conversation_of(service, [ada, bob], 10)

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
    conversation = await conversation_of(service, [ada, bob], len(everything))

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
    conversation = await conversation_of(service, [ada, bob], 1)
    answers = []
    for asked in (conversation, new_conversation_id()):
        with pytest.raises(ChatError) as caught:
            await page(service, eve, rpc.ListMessagesRequest(conversation_id=asked))
        answers.append((caught.value.reason, caught.value.message))
        with pytest.raises(ChatError) as caught:
            await service.read(eve, asked, 1)
        answers.append((caught.value.reason, caught.value.message))

    assert set(answers) == {(Reason.NOT_FOUND, "Conversation not found.")}


async def test_a_read_mark_goes_forward_only_and_stops_at_the_last_message(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = await conversation_of(service, [ada, bob], 5)

    marks = [await service.read(bob, conversation, seq) for seq in (3, 2, 2**64 - 1, 0)]

    assert [(mark.last_read_seq, mark.unread_count) for mark in marks] == [(3, 2), (3, 2), (5, 0), (5, 0)]


async def test_whoever_impersonates_may_not_mark_as_read(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = await conversation_of(service, [ada, bob], 2)
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


async def test_totals_follow_sends_and_reads_exactly(service: MessageService) -> None:
    ada, bob, eve = new_people(3)
    first = await conversation_of(service, [ada, bob], 3)
    second = await conversation_of(service, [eve, bob], 2)
    await service.open(request_gate(new_conversation_id(), 1, ada, bob), ada)

    assert await unread(service, bob) == (6, 3, 1)
    mark = await service.read(bob, first, 2)
    assert (mark.unread.messages, mark.unread.conversations, mark.unread.requests) == (4, 3, 1)
    await service.read(bob, second, 2)
    assert await unread(service, bob) == (2, 2, 1)
    assert await unread(service, ada) == (0, 0, 0)


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


async def test_a_block_changes_nothing_that_the_blocked_can_read(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = await conversation_of(service, [ada, bob], 3)

    async def everything() -> list[Message | None]:
        client = service.client()
        acting = ActingUser(ada, "recruiter")
        watched = await client.call(
            client.stub.GetWatchList, rpc.GetWatchListRequest(), timeout=TIMEOUT, acting=acting
        )
        return [
            await service.view(ada, conversation),
            await inbox(service, ada, rpc.ListInboxRequest()),
            watched,
        ]

    before = await everything()
    blocked = {"can_send": False, "shares_receipts": False}
    await service.apply(
        active_gate(conversation, 2, [member(ada, **blocked), member(bob, version=2, **blocked)])
    )

    assert await everything() == before


async def test_the_inbox_is_paged_newest_activity_first_without_gap_or_repeat(
    service: MessageService,
) -> None:
    ada, bob = new_people(2)
    conversations = [await conversation_of(service, [ada, bob], 1) for _ in range(7)]
    await service.send(ada, conversations[2], "again")

    seen: list[str] = []
    request = rpc.ListInboxRequest(list=rpc.INBOX_LIST_INBOX, limit=3)
    for expected in (3, 3, 1):
        response = await inbox(service, bob, request)
        assert len(response.views) == expected
        seen += [view.conversation_id for view in response.views]
        request.after.CopyFrom(response.next)

    assert not response.HasField("next")
    assert seen == [conversations[index] for index in (2, 6, 5, 4, 3, 1, 0)]
    newest = (await inbox(service, bob, rpc.ListInboxRequest())).views[0]
    assert (newest.last_message.seq, newest.last_seq, newest.unread_count) == (2, 2, 2)


@pytest.mark.parametrize("seconds", [253_402_300_800, -62_135_596_801, 2**62])
async def test_a_position_outside_of_time_is_refused_with_its_pointer(
    service: MessageService, seconds: int
) -> None:
    [bob] = new_people(1)
    client, acting = service.client(), ActingUser(bob, "candidate")
    inbox_request, watch_request = rpc.ListInboxRequest(), rpc.GetWatchListRequest()
    inbox_request.after.conversation_id = watch_request.after.conversation_id = new_conversation_id()
    inbox_request.after.activity_at.seconds = watch_request.after.changed_at.seconds = seconds

    with pytest.raises(ChatError) as inbox_refused:
        await inbox(service, bob, inbox_request)
    with pytest.raises(ChatError) as watch_refused:
        await client.call(client.stub.GetWatchList, watch_request, timeout=TIMEOUT, acting=acting)

    for refused, pointer in ((inbox_refused, "/after/activityAt"), (watch_refused, "/after/changedAt")):
        assert refused.value.reason is Reason.VALIDATION_FAILED
        assert [violation.pointer for violation in refused.value.violations] == [pointer]


async def test_folders_keep_requests_apart(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = new_conversation_id()
    await service.open(request_gate(conversation, 1, ada, bob), ada)

    async def where(user_id: str) -> list[int]:
        lists = (rpc.INBOX_LIST_INBOX, rpc.INBOX_LIST_REQUESTS, rpc.INBOX_LIST_SENT)
        return [len((await inbox(service, user_id, rpc.ListInboxRequest(list=one))).views) for one in lists]

    assert await where(ada) == [0, 0, 1]
    assert await where(bob) == [0, 1, 0]
    closed = {"state": pb.CONVERSATION_STATE_DECLINED, "folder": pb.FOLDER_UNSPECIFIED, "can_send": False}
    await service.apply(active_gate(conversation, 2, [ada, member(bob, version=2, **closed)]))
    assert await where(bob) == [0, 0, 0]
    assert await unread(service, bob) == (0, 0, 0)


async def test_the_watch_list_says_what_changed_last_and_who_was_removed(service: MessageService) -> None:
    ada, bob = new_people(2)
    one, two = [await conversation_of(service, [ada, bob], 2) for _ in range(2)]
    await service.read(bob, one, 1)
    await service.apply(active_gate(two, 2, [ada, member(bob, left=True)]))
    client = service.client()

    response = await client.call(
        client.stub.GetWatchList,
        rpc.GetWatchListRequest(),
        timeout=TIMEOUT,
        acting=ActingUser(bob, "candidate"),
    )

    items = [
        (item.conversation_id, item.last_seq, item.last_read_seq, item.removed) for item in response.items
    ]
    assert items == [(two, 0, 0, True), (one, 2, 1, False)]


async def test_the_watch_list_tells_the_removed_nothing_of_what_came_after(service: MessageService) -> None:
    ada, bob, eve = new_people(3)
    conversation = await conversation_of(service, [ada, bob, eve], 2)
    await service.apply(active_gate(conversation, 2, [ada, bob, member(eve, left=True)]))
    client = service.client()

    async def watched() -> rpc.GetWatchListResponse:
        acting = ActingUser(eve, "candidate")
        request = rpc.GetWatchListRequest()
        return await client.call(client.stub.GetWatchList, request, timeout=TIMEOUT, acting=acting)

    before = await watched()
    await service.send(ada, conversation, "after-eve")

    assert before.items[0].removed
    assert await watched() == before


async def test_welcomes_are_for_each_what_they_are_told_alone(service: MessageService) -> None:
    ada, bob, eve = new_people(3)
    one, two = [await conversation_of(service, [ada, bob], 3) for _ in range(2)]
    await service.read(bob, one, 1)
    await service.apply(active_gate(two, 2, [ada, member(bob, left=True)]))
    client, signer = service.client(), service.signer("edge_gateway")

    async def alone(user_id: str, **options: object) -> rpc.Welcome:
        acting, request = ActingUser(user_id, "candidate"), rpc.GetWatchListRequest(**options)  # type: ignore[arg-type]
        listed = await client.call(client.stub.GetWatchList, request, timeout=TIMEOUT, acting=acting)
        counted = await client.call(
            client.stub.GetUnread, rpc.GetUnreadRequest(), timeout=TIMEOUT, acting=acting
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


async def test_the_largest_batch_is_taken_and_the_largest_page_comes_back(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = await conversation_of(service, [ada, bob], 1)
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


async def watched(service: MessageService, user_id: str, conversation: str) -> rpc.WatchItem:
    client = service.client()
    response = await client.call(
        client.stub.GetWatchList,
        rpc.GetWatchListRequest(),
        timeout=TIMEOUT,
        acting=ActingUser(user_id, "recruiter"),
    )
    (item,) = [item for item in response.items if item.conversation_id == conversation]
    return item


def moved_between(old: rpc.WatchItem, new: rpc.WatchItem) -> bool:
    return new.changed_at.ToNanoseconds() > old.changed_at.ToNanoseconds()


async def test_a_receipt_is_a_change_in_the_watch_lists_of_exactly_those_who_get_it(
    service: MessageService,
) -> None:
    ada, bob, eve, gone = new_people(4)
    conversation = await conversation_of(service, [ada, bob, eve, gone], 2)
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
    conversation = await conversation_of(service, [ada, bob, eve], 2)
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
