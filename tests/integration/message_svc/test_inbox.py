"""The inbox: its pages, its folders, its totals."""

from __future__ import annotations

import pytest
from splits.chat.message.v1 import message_pb2 as pb
from splits.chat.message.v1 import service_pb2 as rpc

from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser
from tests.support.gates import active_gate, member, new_conversation_id, new_people, request_gate
from tests.support.message_svc import TIMEOUT, MessageService


async def unread(service: MessageService, user_id: str) -> tuple[int, int, int]:
    client = service.client()
    response = await client.call(
        client.stub.GetUnread,
        rpc.GetUnreadRequest(),
        timeout=TIMEOUT,
        acting=ActingUser(user_id, "candidate"),
    )
    return response.unread.messages, response.unread.conversations, response.unread.requests


async def test_totals_follow_sends_and_reads_exactly(service: MessageService) -> None:
    ada, bob, eve = new_people(3)
    first = await service.conversation_of([ada, bob], 3)
    second = await service.conversation_of([eve, bob], 2)
    await service.open(request_gate(new_conversation_id(), 1, ada, bob), ada)

    assert await unread(service, bob) == (6, 3, 1)
    mark = await service.read(bob, first, 2)
    assert (mark.unread.messages, mark.unread.conversations, mark.unread.requests) == (4, 3, 1)
    await service.read(bob, second, 2)
    assert await unread(service, bob) == (2, 2, 1)
    assert await unread(service, ada) == (0, 0, 0)


async def test_views_come_with_the_totals_where_they_are_asked_for(service: MessageService) -> None:
    ada, bob = new_people(2)
    first = await service.conversation_of([ada, bob], 3)
    await service.conversation_of([ada, bob], 2)
    client, [stranger] = service.client(), new_people(1)

    async def views(user_id: str, **options: bool) -> rpc.GetMemberViewsResponse:
        request = rpc.GetMemberViewsRequest(conversation_ids=[first], **options)
        acting = ActingUser(user_id, "candidate")
        return await client.call(client.stub.GetMemberViews, request, timeout=TIMEOUT, acting=acting)

    alone, counted = await views(bob), await views(bob, with_unread=True)
    assert not alone.HasField("unread")
    assert counted.views == alone.views
    assert counted.unread == pb.UnreadTotals(messages=5, conversations=2)
    nothing = await views(stranger, with_unread=True)
    assert not nothing.views
    assert nothing.HasField("unread")


async def test_the_inbox_is_paged_newest_activity_first_without_gap_or_repeat(
    service: MessageService,
) -> None:
    ada, bob = new_people(2)
    conversations = [await service.conversation_of([ada, bob], 1) for _ in range(7)]
    await service.send(ada, conversations[2], "again")

    seen: list[str] = []
    request = rpc.ListInboxRequest(list=rpc.INBOX_LIST_INBOX, limit=3)
    for expected in (3, 3, 1):
        response = await service.inbox(bob, request)
        assert len(response.views) == expected
        seen += [view.conversation_id for view in response.views]
        request.after.CopyFrom(response.next)

    assert not response.HasField("next")
    assert seen == [conversations[index] for index in (2, 6, 5, 4, 3, 1, 0)]
    newest = (await service.inbox(bob, rpc.ListInboxRequest())).views[0]
    assert (newest.last_message.seq, newest.last_seq, newest.unread_count) == (2, 2, 2)


@pytest.mark.parametrize("seconds", [253_402_300_800, -62_135_596_801, 2**62])
async def test_a_position_outside_of_time_is_refused_with_its_pointer(
    service: MessageService, seconds: int
) -> None:
    [bob] = new_people(1)
    inbox_request, watch_request = rpc.ListInboxRequest(), rpc.GetWatchListRequest()
    inbox_request.after.conversation_id = watch_request.after.conversation_id = new_conversation_id()
    inbox_request.after.activity_at.seconds = watch_request.after.changed_at.seconds = seconds

    with pytest.raises(ChatError) as inbox_refused:
        await service.inbox(bob, inbox_request)
    with pytest.raises(ChatError) as watch_refused:
        await service.watch_list(bob, watch_request)

    for refused, pointer in ((inbox_refused, "/after/activityAt"), (watch_refused, "/after/changedAt")):
        assert refused.value.reason is Reason.VALIDATION_FAILED
        assert [violation.pointer for violation in refused.value.violations] == [pointer]


async def test_folders_keep_requests_apart(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = new_conversation_id()
    await service.open(request_gate(conversation, 1, ada, bob), ada)

    async def where(user_id: str) -> list[int]:
        lists = (rpc.INBOX_LIST_INBOX, rpc.INBOX_LIST_REQUESTS, rpc.INBOX_LIST_SENT)
        return [len((await service.inbox(user_id, rpc.ListInboxRequest(list=one))).views) for one in lists]

    assert await where(ada) == [0, 0, 1]
    assert await where(bob) == [0, 1, 0]
    closed = {"state": pb.CONVERSATION_STATE_DECLINED, "folder": pb.FOLDER_UNSPECIFIED, "can_send": False}
    await service.apply(active_gate(conversation, 2, [ada, member(bob, version=2, **closed)]))
    assert await where(bob) == [0, 0, 0]
    assert await unread(service, bob) == (0, 0, 0)
