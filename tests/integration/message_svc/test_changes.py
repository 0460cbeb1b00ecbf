"""Edits, redactions, replies, links coming alive, flags, and the list of changes."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import pytest
from splits.chat.message.v1 import message_pb2 as pb
from splits.chat.message.v1 import service_pb2 as rpc

from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser
from tests.integration.message_svc.frames import frames_of
from tests.support.gates import active_gate, member, new_conversation_id, new_people, request_gate
from tests.support.message_svc import TIMEOUT, MessageService

LINK = "see https://a.example/x"


async def ask(service: MessageService, method: str, request: Any, user: str, role: str = "candidate") -> Any:
    client = service.client()
    return await client.call(
        getattr(client.stub, method), request, timeout=TIMEOUT, acting=ActingUser(user, role)
    )


async def opened(service: MessageService, *people: str, text: str = "hello") -> tuple[str, pb.Message]:
    conversation = new_conversation_id()
    response = await service.open(active_gate(conversation, 1, people), people[0], text)
    return conversation, response.message


async def edit(service: MessageService, user: str, message: pb.Message, text: str) -> rpc.EditMessageResponse:
    request = rpc.EditMessageRequest(
        conversation_id=message.conversation_id, message_id=message.id, text=text
    )
    response: rpc.EditMessageResponse = await ask(service, "EditMessage", request, user)
    return response


async def redact(
    service: MessageService, user: str, message: pb.Message, role: str = "candidate"
) -> rpc.RedactMessageResponse:
    request = rpc.RedactMessageRequest(conversation_id=message.conversation_id, message_id=message.id)
    response: rpc.RedactMessageResponse = await ask(service, "RedactMessage", request, user, role)
    return response


async def changes(
    service: MessageService, user: str, conversation: str, after: int
) -> list[tuple[int, int, str]]:
    request = rpc.ListChangesRequest(conversation_id=conversation, after_change_seq=after, limit=2)
    found = []
    while True:
        response = await ask(service, "ListChanges", request, user)
        found += [(message.change_seq, message.seq, message.text) for message in response.messages]
        if not response.has_more:
            return found
        request.after_change_seq = response.messages[-1].change_seq


async def test_an_edit_changes_the_text_and_takes_the_next_change_number(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation, first = await opened(service, ada, bob)
    await service.send(bob, conversation, "b1")

    edited = (await edit(service, ada, first, "hello there")).message
    again = (await edit(service, ada, first, "hello there")).message

    assert (edited.seq, edited.change_seq, edited.text) == (1, 3, "hello there")
    assert edited.HasField("edited_at")
    assert again == edited
    assert await changes(service, bob, conversation, 0) == [(2, 2, "hello"), (3, 1, "hello there")]
    assert await changes(service, bob, conversation, 3) == []
    # The original body stays the message's key: a late repeat of the send is still a repeat.
    assert (await service.send(ada, conversation, "first", "hello")).repeated.text == "hello there"


async def test_only_the_sender_edits_and_nobody_learns_of_a_message_elsewhere(
    service: MessageService,
) -> None:
    ada, bob, eve = new_people(3)
    _, first = await opened(service, ada, bob)
    elsewhere, _ = await opened(service, ada, eve)
    under_another = pb.Message(conversation_id=elsewhere, id=first.id)

    assert (await edit(service, bob, first, "mine")).refused.reason == pb.REFUSAL_REASON_FORBIDDEN
    assert (await edit(service, eve, first, "mine")).refused.reason == pb.REFUSAL_REASON_NOT_FOUND
    assert (await edit(service, ada, under_another, "x")).refused.reason == pb.REFUSAL_REASON_NOT_FOUND


async def test_whoever_may_not_write_may_not_edit(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation, first = await opened(service, ada, bob)
    await service.apply(active_gate(conversation, 2, [member(ada, can_send=False), bob]))
    pending = (await service.open(request_gate(new_conversation_id(), 1, ada, bob), ada)).message

    assert (await edit(service, ada, first, "late")).refused.reason == pb.REFUSAL_REASON_UNDELIVERABLE
    assert (await edit(service, ada, pending, "more")).refused.reason == pb.REFUSAL_REASON_REQUEST_PENDING


async def test_a_redaction_takes_the_text_from_everywhere_and_its_unread_count(
    service: MessageService,
) -> None:
    ada, bob = new_people(2)
    conversation, first = await opened(service, ada, bob, text="a secret https://a.example/")
    await service.send(ada, conversation, "c2", "another")

    gone = (await redact(service, ada, first)).message
    again = (await redact(service, ada, first)).message

    assert (gone.text, gone.seq, gone.change_seq, gone.redacted_by) == ("", 1, 3, ada)
    assert (list(gone.links), again) == ([], gone)
    view = await service.view(bob, conversation)
    assert view is not None
    assert view.unread_count == 1
    assert (await service.read(bob, conversation, 2)).unread_count == 0
    assert (await edit(service, ada, first, "back")).refused.reason == pb.REFUSAL_REASON_EDIT_CLOSED
    assert (await service.send(ada, conversation, "first", "a secret https://a.example/")).repeated.text == ""
    left = await service.pool.fetchval(
        "SELECT count(*) FROM message WHERE conversation_id = $1 AND text LIKE '%secret%'",
        uuid.UUID(conversation),
    )
    assert left == 0


async def test_a_redaction_of_what_was_read_leaves_the_count_alone(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation, first = await opened(service, ada, bob)
    await service.send(ada, conversation, "c2")
    await service.read(bob, conversation, 1)

    await redact(service, ada, first)

    view = await service.view(bob, conversation)
    assert view is not None
    assert view.unread_count == 1


async def test_a_moderator_redacts_and_a_stranger_finds_nothing(service: MessageService) -> None:
    ada, bob, eve = new_people(3)
    _, first = await opened(service, ada, bob)

    assert (await redact(service, bob, first)).refused.reason == pb.REFUSAL_REASON_FORBIDDEN
    assert (await redact(service, eve, first)).refused.reason == pb.REFUSAL_REASON_NOT_FOUND
    assert (await redact(service, eve, first, "moderator")).message.redacted_by == eve


async def test_no_publish_of_a_body_begins_after_its_redaction_was_answered(
    service: MessageService, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob = new_people(2)
    conversation, _ = await opened(service, ada, bob)
    await service.all_told()
    async with frames_of(redis_url, bob) as to_bob:
        # A process that dies between its commit and the publish: the relay is left with the event.
        monkeypatch.setattr(service.app.outbox, "publish_soon", lambda **_: None)
        sent = (await service.send(ada, conversation, "c2", "a secret")).stored
        monkeypatch.undo()
        began = time.monotonic()
        await redact(service, ada, sent)
        assert time.monotonic() - began < 10
        frames = await to_bob.until(2)

    assert {frame["type"] for frame in frames} == {"message.created", "message.updated"}
    assert "a secret" not in repr(frames)


async def test_read_marks_racing_redactions_leave_the_exact_count(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation, first = await opened(service, ada, bob)
    sent = [first] + [(await service.send(ada, conversation, f"c{n}")).stored for n in range(29)]

    await asyncio.gather(
        *(redact(service, ada, message) for message in sent[::2]),
        *(service.read(bob, conversation, seq) for seq in range(1, 20, 3)),
    )

    view = await service.view(bob, conversation)
    assert view is not None
    assert view.unread_count == len([message for message in sent[1::2] if message.seq > view.last_read_seq])


async def test_a_reply_names_a_message_of_the_same_conversation(service: MessageService) -> None:
    ada, bob, eve = new_people(3)
    conversation, first = await opened(service, ada, bob)
    _, other = await opened(service, ada, eve)

    def reply(to: str, client_id: str) -> rpc.Send:
        send = service.new_send(bob, conversation, client_id)
        send.message.reply_to_id = to
        return send

    answered, astray, unknown = await service.send_batch(
        reply(first.id, "r1"), reply(other.id, "r2"), reply(str(uuid.uuid4()), "r3")
    )
    changed = service.new_send(bob, conversation, "r1")

    assert answered.stored.reply_to_id == first.id
    assert astray.refused.reason == unknown.refused.reason == pb.REFUSAL_REASON_REPLY_NOT_FOUND
    (conflict,) = await service.send_batch(changed)
    assert conflict.refused.reason == pb.REFUSAL_REASON_IDEMPOTENCY_CONFLICT


async def test_links_are_inert_until_the_request_is_accepted_and_then_change_the_message(
    service: MessageService, redis_url: str
) -> None:
    ada, bob = new_people(2)
    conversation = new_conversation_id()
    pending = (await service.open(request_gate(conversation, 1, ada, bob), ada, LINK)).message
    assert list(pending.links) == []
    await service.all_told()
    async with frames_of(redis_url, bob) as to_bob:
        await service.apply(active_gate(conversation, 2, [ada, bob]))
        (frame,) = await to_bob.until(1)

    assert frame["type"] == "message.updated"
    assert frame["data"]["message"]["links"] == [{"start": 4, "end": len(LINK), "url": "https://a.example/x"}]
    assert (frame["data"]["message"]["seq"], frame["data"]["message"]["changeSeq"]) == (1, 2)
    assert await changes(service, bob, conversation, 1) == [(2, 1, LINK)]
    sent = (await service.send(bob, conversation, "b1", LINK)).stored
    assert [link.url for link in sent.links] == ["https://a.example/x"]


async def test_mute_and_archive_are_ones_own_and_shape_lists_and_totals(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation, _ = await opened(service, ada, bob)

    async def flags(**wanted: bool) -> rpc.SetFlagsResponse:
        request = rpc.SetFlagsRequest(conversation_id=conversation, **wanted)
        response: rpc.SetFlagsResponse = await ask(service, "SetFlags", request, bob)
        return response

    async def lists() -> list[int]:
        kinds = (rpc.INBOX_LIST_INBOX, rpc.INBOX_LIST_ARCHIVED)
        pages = [await ask(service, "ListInbox", rpc.ListInboxRequest(list=one), bob) for one in kinds]
        return [len(page.views) for page in pages]

    archived = await flags(archived=True)
    assert (archived.view.archived, archived.view.muted, archived.unread.messages) == (True, False, 0)
    assert await lists() == [0, 1]
    await service.send(ada, conversation, "c2")
    assert await lists() == [1, 0]  # what comes brings it back
    muted = await flags(archived=True, muted=True)
    assert (muted.view.unread_count, muted.unread.messages) == (2, 0)
    await service.send(ada, conversation, "c3")
    assert await lists() == [0, 1]  # unless it is muted
    assert (await flags(muted=False, archived=False)).unread.messages == 3
    other = await service.view(ada, conversation)
    assert other is not None
    assert not other.archived


async def test_flags_changed_elsewhere_reach_ones_own_devices_only(
    service: MessageService, redis_url: str
) -> None:
    ada, bob = new_people(2)
    conversation, _ = await opened(service, ada, bob)
    await service.all_told()
    async with frames_of(redis_url, bob) as to_bob, frames_of(redis_url, ada) as to_ada:
        for muted in (True, True):  # the second changes nothing and tells nothing
            request = rpc.SetFlagsRequest(conversation_id=conversation, muted=muted)
            await ask(service, "SetFlags", request, bob)
        await service.send(ada, conversation, "last")
        own, others = await to_bob.until(2), await to_ada.until(1)

    assert [frame["type"] for frame in own] == ["conversation.updated", "message.created"]
    assert [frame["type"] for frame in others] == ["message.created"]


async def test_whoever_hides_receipts_shows_none_and_sees_none(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation, _ = await opened(service, ada, bob)
    await service.send(bob, conversation, "b1")
    for person in (ada, bob):
        await service.read(person, conversation, 2)

    async def seen(by: str) -> list[int]:
        view = await service.view(by, conversation)
        assert view is not None
        return [pointer.last_read_seq for pointer in view.read_pointers]

    assert (await seen(ada), await seen(bob)) == ([2], [2])
    await service.apply(active_gate(conversation, 2, [ada, member(bob, receipts_hidden=True)]))
    assert (await seen(ada), await seen(bob)) == ([], [])
    await service.apply(active_gate(conversation, 3, [ada, bob]))
    assert (await seen(ada), await seen(bob)) == ([2], [2])


async def test_a_replay_shows_messages_as_their_reader_may_see_them_now(service: MessageService) -> None:
    ada, bob, eve = new_people(3)
    conversation, first = await opened(service, ada, bob)
    await redact(service, ada, first)
    await service.send(ada, conversation, "c2", "second")
    refs = [rpc.MessageRef(conversation_id=conversation, seq=seq) for seq in (1, 2, 3, 2)]

    found = await ask(service, "GetMessages", rpc.GetMessagesRequest(refs=refs), bob)
    stranger = await ask(service, "GetMessages", rpc.GetMessagesRequest(refs=refs), eve)

    assert sorted((message.seq, message.text) for message in found.messages) == [(1, ""), (2, "second")]
    assert list(stranger.messages) == []


async def test_whoever_acts_as_another_changes_nothing(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation, first = await opened(service, ada, bob)
    client = service.client()
    actor = ActingUser(ada, "recruiter", impersonator="support_1")
    requests: list[tuple[Any, Any]] = [
        (client.stub.MarkRead, rpc.MarkReadRequest(conversation_id=conversation, last_read_seq=1)),
        (client.stub.SetFlags, rpc.SetFlagsRequest(conversation_id=conversation, muted=True)),
        (
            client.stub.RedactMessage,
            rpc.RedactMessageRequest(conversation_id=conversation, message_id=first.id),
        ),
        (
            client.stub.EditMessage,
            rpc.EditMessageRequest(conversation_id=conversation, message_id=first.id, text="x"),
        ),
    ]
    for method, request in requests:
        with pytest.raises(ChatError) as caught:
            await client.call(method, request, timeout=TIMEOUT, acting=actor)
        assert caught.value.reason is Reason.FORBIDDEN
