"""The end of requests: for all that wait at the same time, and in the same way whatever they wait for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest_asyncio
from splits.chat.conversation.v1 import conversation_pb2 as pb
from splits.chat.message.v1 import message_pb2

from servicekit.identity import ActingUser
from tests.support.backing import MakeDatabase
from tests.support.conversation_svc import (
    ConversationService,
    Told,
    new_person,
    run_conversation_service,
    told,
    told_at_last,
)
from tests.support.message_svc import MessageService
from tests.support.outbox import open_inbox
from tests.support.proxy import proxy_to
from tests.support.waiting import eventually

EXPIRED = message_pb2.CONVERSATION_STATE_EXPIRED
DECLINED = message_pb2.CONVERSATION_STATE_DECLINED
REQUEST_CLOSED = message_pb2.REFUSAL_REASON_REQUEST_CLOSED
QUICK: dict[str, Any] = {"expire_seconds": 0.1, "push_owed_after_seconds": 0.2, "push_sweep_seconds": 0.1}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def quick(
    make_database: MakeDatabase, redis_url: str, amqp_url: str, key_folder: Path, messages: MessageService
) -> AsyncIterator[ConversationService]:
    """A service that looks for the end of requests all the time."""
    async with run_conversation_service(
        make_database, redis_url, amqp_url, key_folder, messages.target, **QUICK
    ) as running:
        yield running


async def end_time_of(service: ConversationService, *conversations: str) -> None:
    """Their time is over: 31 days pass for them."""
    await service.pool.execute(
        "UPDATE conversations SET expires_at = expires_at - interval '31 days'"
        " WHERE id = ANY ($1::text[]::uuid[])",
        conversations,
    )


async def expired(service: ConversationService, viewer: ActingUser, conversation: str) -> pb.Conversation:
    """The conversation, once the viewer reads that it ended."""

    async def seen() -> pb.Conversation:
        return (await service.get(viewer, conversation))[0]

    return await eventually(seen, until=lambda found: found.state == EXPIRED)


async def started(service: ConversationService, job: str = "") -> tuple[ActingUser, ActingUser, str]:
    rita, cora = new_person(), new_person("candidate")
    await service.meet(rita, cora)
    return rita, cora, await service.start(rita, cora, job)


def about(entries: list[Told], conversation: str) -> list[tuple[str, Any]]:
    return [
        (entry.type, entry.refs["version"])
        for entry in entries
        if entry.conversation_id == conversation and "version" in entry.refs
    ]


async def test_a_waiting_request_ends_for_both(
    quick: ConversationService, messages: MessageService, redis_url: str
) -> None:
    rita, cora, conversation = await started(quick)
    await end_time_of(quick, conversation)

    for who in (rita, cora):
        seen = await expired(quick, who, conversation)
        assert (seen.version, seen.policy.can_send) == (2, False)
        assert seen.policy.reason == pb.POLICY_REASON_REQUEST_CLOSED
        assert about(await told_at_last(redis_url, who, 3), conversation) == [("conversation.updated", 2)]
        view = await messages.view(who.user_id, conversation)
        assert view is not None
        assert view.folder == message_pb2.FOLDER_UNSPECIFIED
        outcome = await messages.send(who.user_id, conversation, "late")
        assert outcome.refused.reason == REQUEST_CLOSED
    for answer in (quick.accept(cora, conversation), quick.decline(cora, conversation)):
        assert (await answer).refused.reason == REQUEST_CLOSED
    assert (await quick.withdraw(rita, conversation)).refused.reason == REQUEST_CLOSED


async def test_a_declined_one_ends_for_its_sender_as_a_waiting_one_and_not_for_who_declined(
    quick: ConversationService, messages: MessageService, redis_url: str
) -> None:
    rita, _, waiting = await started(quick)
    cleo, carl = new_person("candidate"), new_person("candidate")
    await quick.meet(cleo, carl)
    declined, blocked = await quick.start(rita, cleo), await quick.start(rita, carl)
    await quick.decline(cleo, declined)
    await quick.block(carl, rita)

    async def readable_to_cleo() -> tuple[bytes, bytes]:
        view = await messages.view(cleo.user_id, declined)
        assert view is not None
        seen = await quick.get_all(cleo, [declined])
        return seen.SerializeToString(), view.SerializeToString()

    before, heard = await readable_to_cleo(), len(await told_at_last(redis_url, cleo, 3))
    await end_time_of(quick, waiting, declined, blocked)

    seen = [await expired(quick, rita, each) for each in (waiting, declined, blocked)]
    assert len({each.updated_at.ToNanoseconds() for each in seen}) == 1  # in one step
    assert len({(each.version, each.policy.SerializeToString()) for each in seen}) == 1
    to_rita = await told_at_last(redis_url, rita, 9)
    for each in (waiting, declined, blocked):
        assert about(to_rita, each) == [("conversation.updated", 2)]
        outcome = await messages.send(rita.user_id, each, "late")
        assert outcome.refused.reason == REQUEST_CLOSED
    views = [await messages.view(rita.user_id, each) for each in (waiting, declined, blocked)]
    assert len({(view.folder, view.state) for view in views if view}) == 1

    assert await readable_to_cleo() == before
    assert len(await told(redis_url, cleo)) == heard
    assert (await quick.decline(cleo, declined)).conversation.state == DECLINED  # still a repeat


async def test_the_bus_hears_each_end_once_whether_the_request_waited_or_was_declined(
    quick: ConversationService, amqp_url: str
) -> None:
    name = "conversation.expired.v1"
    async with open_inbox(amqp_url, name) as inbox:
        _, _, waiting = await started(quick)
        _, cleo, declined = await started(quick)
        await quick.decline(cleo, declined)
        await end_time_of(quick, waiting, declined)
        heard: dict[str, dict[str, Any]] = {}
        while len(heard) < 2:
            message = await inbox.next()
            event = orjson.loads(message.body)
            if event["subject"] in (waiting, declined):
                assert (message.routing_key, event["type"]) == (name, name)
                assert event["subject"] not in heard
                heard[event["subject"]] = event["data"]
    for conversation, data in heard.items():
        assert data.keys() == {"conversationId", "expiredAt"}
        assert data["conversationId"] == conversation


async def test_after_the_end_another_job_may_be_asked_about_and_the_same_one_not(
    quick: ConversationService, messages: MessageService
) -> None:
    for declines in (False, True):
        rita, cora, conversation = await started(quick, "job-1")
        if declines:
            await quick.decline(cora, conversation)
        await end_time_of(quick, conversation)
        await expired(quick, rita, conversation)

        assert (await quick.create(rita, cora, "job-2")).WhichOneof("outcome") == "created"
        assert (await quick.create(rita, cora, "job-1")).existing.id == conversation


async def test_what_was_answered_does_not_end(quick: ConversationService) -> None:
    rita, cora, accepted = await started(quick)
    await quick.accept(cora, accepted)
    ruth, cleo, withdrawn = await started(quick)
    await quick.decline(cleo, withdrawn)
    await quick.withdraw(ruth, withdrawn)
    _, last, waiting = await started(quick)
    before = [await quick.get(rita, accepted), await quick.get(ruth, withdrawn)]
    await end_time_of(quick, accepted, withdrawn, waiting)

    await expired(quick, last, waiting)  # so the others have been looked at

    assert [await quick.get(rita, accepted), await quick.get(ruth, withdrawn)] == before


async def test_an_end_while_message_svc_is_away_is_told_once_it_is_enforced(
    make_database: MakeDatabase,
    redis_url: str,
    amqp_url: str,
    key_folder: Path,
    messages: MessageService,
) -> None:
    async with (
        proxy_to(f"tcp://{messages.target}") as peer,
        run_conversation_service(
            make_database,
            redis_url,
            amqp_url,
            key_folder,
            peer.url.removeprefix("tcp://"),
            **QUICK,
        ) as service,
    ):
        rita, cora, conversation = await started(service)
        await told_at_last(redis_url, cora, 2)
        await peer.cut()
        await end_time_of(service, conversation)
        await expired(service, cora, conversation)
        assert len(await told(redis_url, cora)) == 2
        await peer.heal()

        entries = await told_at_last(redis_url, cora, 3)
        assert about(entries, conversation) == [("conversation.updated", 2)]
        outcome = await messages.send(rita.user_id, conversation, "late")
        assert outcome.refused.reason == REQUEST_CLOSED


async def test_a_start_that_is_opened_late_has_all_its_time(
    quick: ConversationService, messages: MessageService
) -> None:
    """It was overtaken by a block, which was lifted after a month."""
    rita, cora, conversation = await started(quick)
    _, last, waiting = await started(quick)
    # As an opening that was refused leaves it, a month ago.
    await quick.pool.execute(
        "UPDATE conversations SET opened = false, gate_applied = true WHERE id = $1::text::uuid", conversation
    )
    await end_time_of(quick, conversation, waiting)
    await expired(quick, last, waiting)

    created = await quick.create(rita, cora)

    assert created.created.conversation.id == conversation
    left = await quick.pool.fetchval(
        "SELECT expires_at - now() > interval '29 days' FROM conversations WHERE id = $1::text::uuid",
        conversation,
    )
    assert left
    assert (await quick.accept(cora, conversation)).HasField("conversation")
