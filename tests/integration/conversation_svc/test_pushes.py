"""The push: nothing is acknowledged or told before message_svc enforces it."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest

from conversation_svc import app
from conversation_svc.actions.deps import Deps
from conversation_svc.actions.sweep_pushes import sweep_pushes
from tests.support.backing import MakeDatabase
from tests.support.conversation_svc import (
    ConversationService,
    new_person,
    run_conversation_service,
    told_at_last,
)
from tests.support.message_svc import MessageService
from tests.support.proxy import Proxy, proxy_to
from tests.support.pushes import QUICK, UNDELIVERABLE, away, owed, pushed, refused_to, talking, unavailable
from tests.support.races import at_last
from tests.support.waiting import eventually


async def test_a_block_while_message_svc_is_away_is_kept_but_neither_acknowledged_nor_told(
    quick: ConversationService, messages: MessageService, between: Proxy, redis_url: str
) -> None:
    rita, cora, conversation = await talking(quick)
    heard = len(await told_at_last(redis_url, cora, 3))

    async with away(between):
        await unavailable(quick.block(cora, rita))
        await unavailable(quick.block(cora, rita))  # a repeat does not take the commit for the deed
        assert await owed(quick, conversation) == 1
        assert (await messages.send(rita.user_id, conversation, "between")).HasField("stored")
        entries = await told_at_last(redis_url, cora, heard + 1)
        assert [entry.type for entry in entries[heard:]] == ["message.created"]

    await pushed(quick, conversation)
    assert (await messages.send(rita.user_id, conversation, "late")).refused.reason == UNDELIVERABLE
    entries = await told_at_last(redis_url, cora, heard + 3)
    assert [entry.type for entry in entries[heard + 1 :]] == ["conversation.updated", "block.created"]
    await quick.block(cora, rita)


async def test_the_repeat_completes_what_the_first_call_could_not(
    quick: ConversationService, messages: MessageService, between: Proxy
) -> None:
    rita, cora, conversation = await talking(quick)
    async with away(between):
        await unavailable(quick.block(cora, rita))

    await at_last(lambda: quick.block(cora, rita))
    assert (await messages.send(rita.user_id, conversation, "late")).refused.reason == UNDELIVERABLE


async def test_answers_while_message_svc_is_away_are_completed_later(
    quick: ConversationService, between: Proxy, redis_url: str
) -> None:
    people = [(new_person(), new_person("candidate")) for _ in range(3)]
    for rita, cora in people:
        await quick.meet(rita, cora)
    one, two, three = [await quick.start(rita, cora) for rita, cora in people]

    async with away(between):
        await unavailable(quick.accept(people[0][1], one))
        await unavailable(quick.decline(people[1][1], two))
        await unavailable(quick.withdraw(people[2][0], three))

    await pushed(quick, one, two, three)
    assert (await told_at_last(redis_url, people[0][0], 3))[-1].type == "conversation.accepted"
    assert (await told_at_last(redis_url, people[1][1], 3))[-1].type == "conversation.declined"
    assert (await told_at_last(redis_url, people[2][0], 3))[-1].type == "conversation.updated"
    assert (await quick.accept(people[0][1], one)).conversation.version == 2


async def test_a_message_svc_that_hangs_is_unavailable_and_holds_up_nobody_else(
    quick: ConversationService, between: Proxy
) -> None:
    rita, cora, _ = await talking(quick)
    between.freeze()
    try:
        hanging = asyncio.create_task(quick.block(cora, rita))
        await quick.get(rita, str(uuid.uuid4()))
        await unavailable(hanging)
    finally:
        await between.heal()
    await at_last(lambda: quick.block(cora, rita))


async def test_a_gate_that_cannot_be_pushed_holds_up_no_other(
    quick: ConversationService, messages: MessageService, between: Proxy
) -> None:
    rita, cora, conversation = await talking(quick)
    carl, cleo, bad = await talking(quick)
    long_id = "x" * 201  # beyond the contract: message_svc refuses the whole call
    async with quick.pool.acquire() as conn, conn.transaction():
        await conn.execute(
            "UPDATE participants SET user_id = $2 WHERE conversation_id = $1::text::uuid AND user_id = $3",
            bad,
            long_id,
            cleo.user_id,
        )
    async with away(between):
        await unavailable(quick.block(carl, cleo))
        await unavailable(quick.block(cora, rita))
        await quick.pool.execute(
            "UPDATE conversations SET push_due_at = now() WHERE id = ANY ($1::text[]::uuid[])",
            [conversation, bad],
        )

    await pushed(quick, conversation)
    assert await owed(quick, bad) == 1
    await quick.pool.execute("DELETE FROM conversations WHERE id = $1::text::uuid", bad)


async def test_a_gate_whose_row_is_locked_in_message_svc_holds_up_no_other(
    quick: ConversationService, messages: MessageService, between: Proxy
) -> None:
    rita, cora, conversation = await talking(quick)
    carl, cleo, stuck = await talking(quick)
    async with messages.pool.acquire() as conn, conn.transaction():
        async with away(between):
            await unavailable(quick.block(carl, cleo))
            await unavailable(quick.block(cora, rita))
            await conn.execute("SELECT FROM gate WHERE id = $1::text::uuid FOR UPDATE", stuck)
            await quick.pool.execute(
                "UPDATE conversations SET push_due_at = now() WHERE id = ANY ($1::text[]::uuid[])",
                [conversation, stuck],
            )

        await eventually(lambda: owed(quick, conversation), until=lambda count: count == 0, within=40)
        assert await owed(quick, stuck) == 1
    await pushed(quick, stuck)


async def test_the_sweeper_outlives_postgres_and_message_svc_being_away(
    make_database: MakeDatabase,
    redis_url: str,
    amqp_url: str,
    key_folder: Path,
    messages: MessageService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures: list[str] = []

    async def sweep(deps: Deps) -> int:
        try:
            return await sweep_pushes(deps)
        except Exception as error:
            failures.append(type(error).__name__)
            raise

    async def failed() -> int:
        return len(failures)

    monkeypatch.setattr(app, "sweep_pushes", sweep)
    database = await make_database()
    async with (
        proxy_to(await database.url("conversation_svc")) as postgres,
        proxy_to(f"tcp://{messages.target}") as peer,
        run_conversation_service(
            make_database,
            redis_url,
            amqp_url,
            key_folder,
            peer.url.removeprefix("tcp://"),
            database=database,
            database_url=postgres.url,
            **QUICK,
        ) as service,
    ):
        rita, cora, conversation = await talking(service)
        async with away(peer):
            await unavailable(service.block(cora, rita))
            async with away(postgres):
                await unavailable(service.block(cora, rita))
                seen = len(failures)
                await eventually(failed, until=lambda count: count > seen + 1)
        await eventually(lambda: refused_to(messages, rita, conversation), within=60)
        assert all(not task.done() for task in service.app._tasks)
