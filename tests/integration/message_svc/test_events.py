"""What message_svc publishes: frames to the people in a conversation, facts to the bus."""

from __future__ import annotations

import uuid
from typing import Any

import orjson
import pytest

from tests.integration.message_svc.frames import frames_of
from tests.support.gates import active_gate, member, new_conversation_id, new_people, request_gate
from tests.support.message_svc import MessageService
from tests.support.outbox import open_inbox
from tests.support.waiting import eventually


async def test_opening_and_sending_reach_every_device_of_both(
    service: MessageService, redis_url: str
) -> None:
    ada, bob = new_people(2)
    conversation = new_conversation_id()
    async with frames_of(redis_url, bob) as to_bob, frames_of(redis_url, ada) as to_ada:
        await service.open(request_gate(conversation, 1, ada, bob), ada, "Hello Bob")
        await service.apply(active_gate(conversation, 2, [ada, bob]))
        await service.send(bob, conversation, "b1", "Hello Ada")
        frames, same = await to_bob.until(3), await to_ada.until(3)

    assert [frame["type"] for frame in frames] == [
        "conversation.requested",
        "message.created",
        "message.created",
    ]
    assert frames == same
    requested, _, answer = frames
    assert "data" not in requested  # the edge joins each receiver's own view
    assert requested["conversationId"] == answer["conversationId"] == conversation
    message = answer["data"]["message"]
    assert {
        key: message[key] for key in ("seq", "changeSeq", "senderId", "text", "kind", "clientMessageId")
    } == {
        "seq": 2,
        "changeSeq": 2,
        "senderId": bob,
        "text": "Hello Ada",
        "kind": "text",
        "clientMessageId": "b1",
    }
    assert message["createdAt"].endswith("Z")
    assert len(message["createdAt"]) == len("2026-11-28T00:00:00.000Z")


async def test_a_conversation_that_opens_accepted_asks_nothing(
    service: MessageService, redis_url: str
) -> None:
    ada, bob = new_people(2)
    async with frames_of(redis_url, bob) as to_bob:
        await service.open(active_gate(new_conversation_id(), 1, [ada, bob]), ada)
        frames = await to_bob.until(2)

    assert [frame["type"] for frame in frames] == ["conversation.updated", "message.created"]


async def test_a_read_mark_reaches_the_others_as_a_receipt_and_own_devices_with_their_counts(
    service: MessageService, redis_url: str
) -> None:
    ada, bob = new_people(2)
    conversation = new_conversation_id()
    await service.open(active_gate(conversation, 1, [ada, bob]), ada)
    await service.all_told()
    async with frames_of(redis_url, ada) as to_ada, frames_of(redis_url, bob) as to_bob:
        await service.read(bob, conversation, 1)
        await service.read(bob, conversation, 1)  # moves nothing, tells nothing
        await service.send(ada, conversation, "last")
        others, own = await to_ada.until(2), await to_bob.until(3)

    assert [frame["type"] for frame in others] == ["read.receipt", "message.created"]
    assert others[0]["data"]["userId"] == bob
    assert others[0]["data"]["lastReadSeq"] == 1
    assert [frame["type"] for frame in own] == ["read.receipt", "conversation.updated", "message.created"]


async def test_receipts_of_a_pending_request_stay_with_the_reader_until_it_is_accepted(
    service: MessageService, redis_url: str
) -> None:
    ada, bob = new_people(2)
    conversation = new_conversation_id()
    await service.open(request_gate(conversation, 1, ada, bob), ada)
    await service.all_told()
    async with frames_of(redis_url, ada) as to_ada:
        await service.read(bob, conversation, 1)
        await service.apply(active_gate(conversation, 2, [ada, bob]))
        await service.send(bob, conversation, "b1")
        frames = await to_ada.until(2)

    assert [frame["type"] for frame in frames] == ["read.receipt", "message.created"]


async def test_a_block_is_silent_to_the_blocked(service: MessageService, redis_url: str) -> None:
    ada, bob = new_people(2)
    conversation = new_conversation_id()
    await service.open(active_gate(conversation, 1, [ada, bob]), ada)
    blocked = {"can_send": False, "shares_receipts": False}
    await service.all_told()
    async with frames_of(redis_url, ada) as to_ada:
        await service.apply(
            active_gate(conversation, 2, [member(ada, **blocked), member(bob, version=2, **blocked)])
        )
        await service.read(bob, conversation, 1)
        await service.apply(active_gate(conversation, 3, [member(ada), member(bob, version=3)]))
        await service.send(bob, conversation, "b1")
        frames = await to_ada.until(2)

    # What bob read while he blocked her shows when he lifts it, not before.
    assert [frame["type"] for frame in frames] == ["read.receipt", "message.created"]


async def test_whoever_left_gets_nothing_more(service: MessageService, redis_url: str) -> None:
    ada, bob, eve = new_people(3)
    one, two = new_conversation_id(), new_conversation_id()
    await service.open(active_gate(one, 1, [ada, bob, eve]), ada)
    await service.open(active_gate(two, 1, [ada, eve]), ada)
    await service.all_told()
    async with frames_of(redis_url, eve) as to_eve:
        await service.apply(active_gate(one, 2, [ada, bob, member(eve, left=True)]))
        await service.send(ada, one, "secret", "not for eve")
        await service.send(ada, two, "hers", "for eve")
        frames = await to_eve.until(1)

    assert [frame["conversationId"] for frame in frames] == [two]


async def test_the_bus_hears_facts_and_no_body(service: MessageService, amqp_url: str) -> None:
    ada, bob = new_people(2)
    conversation = new_conversation_id()
    heard: dict[str, dict[str, Any]] = {}
    async with open_inbox(amqp_url, "message.created.v1", "conversation.requested.v1") as inbox:
        await service.open(request_gate(conversation, 1, ada, bob), ada, "a body nobody else may hear")
        while len(heard) < 2:
            message = await inbox.next()
            assert b"a body nobody" not in message.body
            event = orjson.loads(message.body)
            if event["subject"] == conversation:
                assert message.routing_key == event["type"]
                heard[event["type"]] = event

    assert heard["message.created.v1"]["data"]["seq"] == "1"
    assert heard["message.created.v1"]["source"] == "/message_svc"
    assert heard["conversation.requested.v1"]["data"]["participantIds"] == [ada, bob]


async def test_the_bus_hears_of_every_message_and_once_in_a_while_that_somebody_writes(
    service: MessageService, amqp_url: str
) -> None:
    ada, bob = new_people(2)
    conversation = new_conversation_id()
    created: list[dict[str, Any]] = []
    written: list[dict[str, Any]] = []
    async with open_inbox(amqp_url, "message.created.v1", "conversation.written.v1") as inbox:
        await service.open(request_gate(conversation, 1, ada, bob), ada)
        await service.apply(active_gate(conversation, 2, [ada, bob]))  # whoever is new here is told anew
        for number in range(3):
            await service.send(ada, conversation, f"a{number}")
        await service.send_batch(*(service.new_send(bob, conversation, f"b{number}") for number in range(3)))
        while len(created) < 7:
            event = orjson.loads((await inbox.next()).body)
            if event["subject"] == conversation:
                (created if event["type"] == "message.created.v1" else written).append(event["data"])

    assert [fact["seq"] for fact in created] == ["1", "2", "3", "4", "5", "6", "7"]
    assert [(fact["seq"], fact["senderId"]) for fact in written] == [("1", ada), ("2", ada), ("5", bob)]
    assert written[1]["coveredUntil"] == written[2]["coveredUntil"] > created[-1]["createdAt"]


async def test_what_a_crash_left_is_published_by_the_relay_with_its_body(
    service: MessageService, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob = new_people(2)
    conversation = new_conversation_id()
    await service.open(active_gate(conversation, 1, [ada, bob]), ada)
    await service.all_told()
    async with frames_of(redis_url, bob) as to_bob:
        # A process that dies between its commit and the publish never gets to this call.
        monkeypatch.setattr(service.app.outbox, "publish_soon", lambda **_: None)
        await service.send(ada, conversation, "c2", "swept up")
        await service.read(bob, conversation, 2)
        monkeypatch.undo()
        frames = await to_bob.until(3)

    assert [frame["type"] for frame in frames] == ["message.created", "read.receipt", "conversation.updated"]
    assert frames[0]["data"]["message"]["text"] == "swept up"
    assert frames[1]["data"]["lastReadSeq"] == 2

    async def owed() -> int:
        count: int = await service.pool.fetchval(
            "SELECT count(*) FROM outbox_realtime WHERE conversation_id = $1", uuid.UUID(conversation)
        )
        return count

    await eventually(owed, until=lambda count: count == 0)
