"""What is told, and to whom."""

from __future__ import annotations

from typing import Any

import orjson

from servicekit.identity import ActingUser
from tests.support.conversation_svc import ConversationService, Told, new_person, told_at_last
from tests.support.message_svc import MessageService
from tests.support.outbox import open_inbox


async def requested(service: ConversationService) -> tuple[ActingUser, ActingUser, str]:
    """A waiting request of a recruiter to a candidate."""
    rita, cora = new_person(), new_person("candidate")
    await service.meet(rita, cora)
    return rita, cora, await service.start(rita, cora)


def of(entries: list[Told], conversation: str) -> list[tuple[str, Any]]:
    """Names and versions of conversation_svc's own events about a conversation."""
    return [
        (entry.type, entry.refs["version"])
        for entry in entries
        if entry.conversation_id == conversation and "version" in entry.refs
    ]


async def test_an_accept_is_told_to_both_with_their_own_versions(
    service: ConversationService, redis_url: str
) -> None:
    rita, cora, conversation = await requested(service)
    await service.block(rita, cora)  # moves rita's version alone
    await service.accept(cora, conversation)

    to_rita, to_cora = await told_at_last(redis_url, rita, 5), await told_at_last(redis_url, cora, 3)

    assert of(to_rita, conversation) == [("conversation.updated", 2), ("conversation.accepted", 3)]
    assert of(to_cora, conversation) == [("conversation.accepted", 2)]


async def test_a_decline_and_a_block_are_silent_to_the_sender(
    service: ConversationService, messages: MessageService, redis_url: str
) -> None:
    rita, cora, conversation = await requested(service)
    await service.block(cora, rita)
    await service.unblock(cora, rita)
    await service.decline(cora, conversation, block=True)
    # Something that rita is told, so that all that came before it has arrived.
    carl = new_person("company")
    await service.meet(carl)
    marker = await service.start(carl, rita)

    to_rita = await told_at_last(redis_url, rita, 4)
    to_cora = await told_at_last(redis_url, cora, 9)

    assert [entry.conversation_id for entry in to_rita] == [conversation] * 2 + [marker] * 2
    assert [entry.type for entry in to_rita[:2]] == ["conversation.requested", "message.created"]
    assert of(to_cora, conversation) == [
        ("conversation.updated", 2),
        ("conversation.updated", 3),
        ("conversation.declined", 4),
        ("conversation.updated", 5),
    ]
    about_blocks = [entry for entry in to_cora if entry.conversation_id is None]
    assert about_blocks == [
        Told("block.created", None, {"userId": rita.user_id, "version": 1}),
        Told("block.removed", None, {"userId": rita.user_id, "version": 2}),
        Told("block.created", None, {"userId": rita.user_id, "version": 3}),
    ]


async def test_a_withdrawal_is_told_to_those_who_can_see_it(
    service: ConversationService, redis_url: str
) -> None:
    rita, cora, waiting = await requested(service)
    cleo = new_person("candidate")
    await service.meet(cleo)
    declined = await service.start(rita, cleo)
    await service.decline(cleo, declined)
    await service.withdraw(rita, waiting)
    await service.withdraw(rita, declined)

    to_rita = await told_at_last(redis_url, rita, 6)
    assert of(to_rita, waiting) == of(to_rita, declined) == [("conversation.updated", 2)]
    assert of(await told_at_last(redis_url, cora, 3), waiting) == [("conversation.updated", 2)]
    assert of(await told_at_last(redis_url, cleo, 3), declined) == [("conversation.declined", 2)]


async def test_the_bus_hears_every_change_once_with_its_facts(
    service: ConversationService, amqp_url: str
) -> None:
    names = [
        "conversation.accepted.v1",
        "conversation.declined.v1",
        "conversation.withdrawn.v1",
        "block.created.v1",
        "block.removed.v1",
    ]
    heard: dict[str, dict[str, Any]] = {}
    async with open_inbox(amqp_url, *names) as inbox:
        rita, cora, accepted = await requested(service)
        await service.accept(cora, accepted)
        await service.accept(cora, accepted)
        _, cleo, declined = await requested(service)
        await service.decline(cleo, declined, reason="not now")
        ruth, _, withdrawn = await requested(service)
        await service.withdraw(ruth, withdrawn)
        await service.block(cora, rita)
        await service.unblock(cora, rita)
        mine = {accepted, declined, withdrawn, cora.user_id}
        while len(heard) < len(names):
            message = await inbox.next()
            event = orjson.loads(message.body)
            if event["subject"] in mine:
                assert message.routing_key == event["type"]
                assert event["type"] not in heard
                heard[event["type"]] = event

    data = {name: event["data"] for name, event in heard.items()}
    assert {event["source"] for event in heard.values()} == {"/conversation_svc"}
    assert data["conversation.accepted.v1"]["acceptedBy"] == cora.user_id
    assert data["conversation.declined.v1"]["reason"] == "not now"
    assert data["conversation.withdrawn.v1"]["withdrawnBy"] == ruth.user_id
    assert data["block.created.v1"]["blockedId"] == data["block.removed.v1"]["blockedId"] == rita.user_id
    assert data["block.created.v1"]["createdAt"] < data["block.removed.v1"]["removedAt"]


async def test_a_block_of_somebody_never_met_is_told_at_once(
    service: ConversationService, redis_url: str
) -> None:
    cora, stranger = new_person("candidate"), new_person()

    await service.block(cora, stranger)

    assert await told_at_last(redis_url, cora, 1) == [
        Told("block.created", None, {"userId": stranger.user_id, "version": 1})
    ]
