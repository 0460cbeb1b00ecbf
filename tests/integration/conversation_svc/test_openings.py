"""First messages whose arrival was never confirmed: found, repeated, or forgotten."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from splits.chat.message.v1 import message_pb2

from conversation_svc import store
from conversation_svc.actions.reconcile_openings import reconcile_openings
from conversation_svc.actions.resolve_unopened import resolve_unopened
from conversation_svc.domain import compute_gate
from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser
from tests.support.conversation_svc import (
    ConversationService,
    new_person,
    told_at_last,
)
from tests.support.message_svc import MessageService
from tests.support.proxy import Proxy
from tests.support.pushes import UNDELIVERABLE, away, pushed, unavailable
from tests.support.races import at_last
from tests.support.waiting import eventually


async def test_a_start_while_message_svc_is_away_is_invisible_and_the_retry_opens_it(
    quick: ConversationService, messages: MessageService, between: Proxy
) -> None:
    rita, cora = new_person(), new_person("candidate")
    await quick.meet(rita, cora)
    async with away(between):
        await unavailable(quick.create(rita, cora))
        [row] = await quick.pool.fetch(
            "SELECT id::text FROM conversations WHERE initiator_id = $1", rita.user_id
        )
        conversation = row["id"]
        for who in (rita, cora):
            assert await quick.get(who, conversation) == []
            with pytest.raises(ChatError) as refused:
                await quick.accept(who, conversation)
            assert refused.value.reason is Reason.NOT_FOUND

    response = await at_last(lambda: quick.create(rita, cora, client_id="second-try"))
    assert response.created.conversation.id == conversation
    view = await messages.view(cora.user_id, conversation)
    assert view is not None
    assert view.last_message.client_message_id == "second-try"


async def test_the_other_sides_first_message_opens_what_was_never_opened_and_accepts_it(
    quick: ConversationService, messages: MessageService, between: Proxy, redis_url: str
) -> None:
    rita, cora = new_person(), new_person("candidate")
    await quick.meet(rita, cora)
    async with away(between):
        await unavailable(quick.create(rita, cora, "job-1"))

    conversation = (await at_last(lambda: quick.create(cora, rita, "job-2"))).created.conversation.id
    [seen] = await quick.get(rita, conversation)
    assert (seen.state, seen.context.job_id) == (message_pb2.CONVERSATION_STATE_ACTIVE, "job-1")
    assert seen.initiator_id == rita.user_id
    assert (await messages.send(rita.user_id, conversation, "r1")).stored.seq == 2
    types = [entry.type for entry in await told_at_last(redis_url, rita, 4)]
    assert "conversation.accepted" in types


async def test_a_stored_first_message_whose_answer_was_lost_is_found(
    quick: ConversationService, messages: MessageService
) -> None:
    rita, cora = new_person(), new_person("candidate")
    await quick.meet(rita, cora)
    conversation = await quick.start(rita, cora)
    await forget_opening(quick, conversation, "1 hour")
    assert await quick.get(cora, conversation) == []

    await forget_opening(quick, conversation, "0 seconds")  # the sweeper's turn comes
    assert await eventually(lambda: quick.get(cora, conversation))
    assert (await quick.accept(cora, conversation)).HasField("conversation")


async def test_a_block_of_somebody_whose_opening_was_not_confirmed_finds_it_first(
    quick: ConversationService, messages: MessageService
) -> None:
    rita, cora = new_person(), new_person("candidate")
    await quick.meet(rita, cora)
    conversation = await quick.start(rita, cora)
    await forget_opening(quick, conversation, "1 hour")  # the sweeper's turn does not come

    await quick.block(cora, rita)

    [seen] = await quick.get(cora, conversation)
    assert seen.blocked_by_me


async def test_a_gate_pushed_by_a_block_meanwhile_is_not_taken_for_a_first_message(
    quick: ConversationService, between: Proxy
) -> None:
    rita, cora = new_person(), new_person("candidate")
    await quick.meet(rita, cora)
    async with away(between):
        await unavailable(quick.create(rita, cora))
    [row] = await quick.pool.fetch("SELECT id FROM conversations WHERE initiator_id = $1", rita.user_id)
    await at_last(lambda: quick.block(cora, rita))  # after the sweeper claimed it, before it asked

    await resolve_unopened(quick.app.deps, [row["id"]])

    assert await quick.get(cora, str(row["id"])) == []
    assert (await quick.create(rita, cora)).refused.reason == UNDELIVERABLE


async def test_a_block_pushed_late_still_finds_the_first_message_that_was_stored(
    quick: ConversationService, between: Proxy
) -> None:
    rita, cora = new_person(), new_person("candidate")
    await quick.meet(rita, cora)
    conversation = await quick.start(rita, cora)
    await forget_opening(quick, conversation, "1 hour")  # as if killed before it confirmed the opening
    async with away(between):
        await unavailable(quick.block(cora, rita))

    await at_last(lambda: quick.block(cora, rita))

    [seen] = await quick.get(cora, conversation)
    assert seen.blocked_by_me


async def test_a_first_message_stored_after_another_change_was_pushed_is_found_though_nothing_is_owed(
    quick: ConversationService, messages: MessageService, between: Proxy, redis_url: str
) -> None:
    rita, cora, conversation = await begun(quick, between)
    await at_last(lambda: quick.block(cora, rita))
    await at_last(lambda: quick.unblock(cora, rita))
    await pushed(quick, conversation)

    await open_unconfirmed(quick, rita, conversation)

    assert await eventually(lambda: quick.get(cora, conversation))
    assert (await quick.accept(cora, conversation)).HasField("conversation")
    # What waited for the opening is told, once.
    names = [entry.type for entry in await told_at_last(redis_url, cora, 6)]
    assert Counter(names)["conversation.updated"] == 2


async def test_an_opening_that_several_replicas_find_at_once_is_told_once(
    quick: ConversationService, between: Proxy, redis_url: str
) -> None:
    rita, cora, conversation = await begun(quick, between)
    await at_last(lambda: quick.block(cora, rita))
    await at_last(lambda: quick.unblock(cora, rita))
    at_once = replace(quick.app.deps, push_owed_after=timedelta(0))
    async with quick.pool.acquire() as conn, conn.transaction():
        await store.lock_conversations(conn, [uuid.UUID(conversation)])
        await open_unconfirmed(quick, rita, conversation)
        walks = [asyncio.create_task(reconcile_openings(at_once, asyncio.Event())) for _ in range(3)]
        await eventually(
            lambda: quick.pool.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ),
            until=lambda waiting: waiting >= len(walks),
        )
    await asyncio.gather(*walks)

    names = [entry.type for entry in await told_at_last(redis_url, cora, 6)]
    assert Counter(names)["conversation.updated"] == 2
    owed = "SELECT count(*) FROM owed_events WHERE conversation_id = $1::text::uuid"
    assert await quick.pool.fetchval(owed, conversation) == 0


async def test_a_start_that_may_be_under_way_is_left_to_its_call(service: ConversationService) -> None:
    rita, cora = new_person(), new_person("candidate")
    await service.meet(rita, cora)
    conversation = await service.start(rita, cora)
    deps = service.app.deps
    for begun_at, found in ((deps.clock.now() + deps.push_owed_after, 0), (deps.clock.now(), 1)):
        await service.pool.execute(
            "UPDATE conversations SET opened = false, opening_at = $2 WHERE id = $1::text::uuid",
            conversation,
            begun_at - deps.push_owed_after,
        )
        assert await reconcile_openings(deps, asyncio.Event()) == found
    assert await service.get(cora, conversation)


async def test_a_gate_held_without_a_message_is_not_asked_about_for_ever(
    quick: ConversationService, between: Proxy
) -> None:
    rita, cora, conversation = await begun(quick, between)
    [situation] = await store.get_situations(quick.pool, [uuid.UUID(conversation)])
    # As a repeated block leaves it that is killed once message_svc has answered.
    await at_last(lambda: quick.app.deps.messages.apply_gates([compute_gate(situation)]))

    await pushed(quick, conversation)

    assert await quick.get(cora, conversation) == []
    assert (await quick.create(rita, cora)).created.conversation.id == conversation


async def test_a_start_that_is_in_use_does_not_keep_others_from_being_forgotten(
    service: ConversationService,
) -> None:
    now = service.app.deps.clock.now()
    ids: list[uuid.UUID] = []
    for _ in range(2):
        rita, cora = new_person(), new_person("candidate")
        await service.meet(rita, cora)
        conversation = uuid.UUID(await service.start(rita, cora))
        await service.pool.execute("UPDATE conversations SET opened = false WHERE id = $1", conversation)
        ids.append(conversation)

    async with service.pool.acquire() as conn, conn.transaction():
        await store.lock_conversations(conn, ids[:1])
        await store.delete_unopened(service.pool, ids, now + timedelta(hours=1))

    left = await service.pool.fetch("SELECT id FROM conversations WHERE id = ANY ($1)", ids)
    assert [row["id"] for row in left] == ids[:1]


async def forget_opening(service: ConversationService, conversation: str, due_in: str) -> None:
    """As a crash between OpenConversation and its confirmation leaves it."""
    await service.pool.execute(
        "UPDATE conversations SET opened = false, gate_pushed = 0, push_due_at = now() + $2::text::interval"
        " WHERE id = $1::text::uuid",
        conversation,
        due_in,
    )


async def test_a_start_that_nobody_repeats_is_forgotten_with_all_that_it_owed(
    quick: ConversationService, between: Proxy
) -> None:
    rita, cora = new_person(), new_person("candidate")
    await quick.meet(rita, cora)
    async with away(between):
        await unavailable(quick.create(rita, cora))
        await unavailable(quick.create(cora, rita))  # joins, and owes that it accepted
        [conversation] = await quick.pool.fetch(
            "UPDATE conversations SET opening_at = opening_at - interval '1 minute', push_due_at = now()"
            " WHERE initiator_id = $1 RETURNING id",
            rita.user_id,
        )
        waits = "SELECT count(*) FROM owed_waits WHERE conversation_id = $1"
        assert await quick.pool.fetchval(waits, conversation["id"]) == 3

    async def left() -> int:
        count: int = await quick.pool.fetchval(
            "SELECT (SELECT count(*) FROM conversations WHERE id = $1)"
            " + (SELECT count(*) FROM owed_events WHERE conversation_id = $1)",
            conversation["id"],
        )
        return count

    await eventually(left, until=lambda count: count == 0, within=60)


async def test_a_block_that_overtakes_the_first_message_makes_it_undeliverable(
    quick: ConversationService, messages: MessageService, between: Proxy
) -> None:
    rita, cora = new_person(), new_person("candidate")
    await quick.meet(rita, cora)
    async with away(between):
        await unavailable(quick.create(rita, cora))
    await at_last(lambda: quick.block(cora, rita))

    refused = await quick.create(rita, cora)
    await quick.unblock(cora, rita)
    created = await quick.create(rita, cora)

    assert refused.refused.reason == UNDELIVERABLE
    assert created.created.message.seq == 1


async def begun(quick: ConversationService, between: Proxy) -> tuple[ActingUser, ActingUser, str]:
    """A start whose first message never got to message_svc: (who started, with whom, conversation)."""
    rita, cora = new_person(), new_person("candidate")
    await quick.meet(rita, cora)
    async with away(between):
        await unavailable(quick.create(rita, cora))
    conversation = await quick.pool.fetchval(
        "SELECT id::text FROM conversations WHERE initiator_id = $1", rita.user_id
    )
    return rita, cora, conversation


async def open_unconfirmed(service: ConversationService, sender: ActingUser, conversation: str) -> None:
    """A start again that is killed once message_svc has answered it."""
    [situation] = await store.get_situations(service.pool, [uuid.UUID(conversation)])
    first = message_pb2.NewMessage(client_message_id="first", text="hello")
    opening = await service.app.deps.messages.open_conversation(compute_gate(situation), first, sender)
    assert opening.message is not None
