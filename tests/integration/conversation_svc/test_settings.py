"""Privacy settings: what is answered holds in every conversation, and is told to nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from splits.chat.conversation.v1 import service_pb2 as rpc
from splits.chat.message.v1 import message_pb2

from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser
from servicekit.ids import new_id
from tests.support.backing import MakeDatabase
from tests.support.conversation_svc import (
    ConversationService,
    new_person,
    run_conversation_service,
    told,
    told_at_last,
)
from tests.support.message_svc import MessageService
from tests.support.proxy import Proxy, proxy_to
from tests.support.waiting import eventually

ALL = rpc.Settings(read_receipts=True, typing_indicators=True, presence=True)


async def hiders(messages: MessageService, conversation: str) -> set[str]:
    """Those of whom message_svc holds that they hide their receipts."""
    raw = await messages.pool.fetchval("SELECT snapshot FROM gate WHERE id = $1::text::uuid", conversation)
    gate = message_pb2.Gate.FromString(raw)
    return {member.user_id for member in gate.members if member.receipts_hidden}


def met() -> tuple[ActingUser, ActingUser]:
    return new_person(), new_person("candidate")


async def talking(service: ConversationService, job: str = "") -> tuple[ActingUser, ActingUser, str]:
    rita, cora = new_person(), new_person("candidate")
    await service.meet(rita, cora)
    conversation = await service.start(rita, cora, job)
    await service.accept(cora, conversation)
    return rita, cora, conversation


async def test_who_changed_nothing_shows_everything(service: ConversationService) -> None:
    assert await service.settings(new_person()) == ALL


async def test_what_is_not_named_stays_as_it_is(service: ConversationService) -> None:
    cora = new_person("candidate")

    assert await service.update_settings(cora) == ALL
    first = await service.update_settings(cora, typing_indicators=False)
    second = await service.update_settings(cora, presence=False, typing_indicators=False)
    third = await service.update_settings(cora, typing_indicators=True)

    assert first == rpc.Settings(read_receipts=True, presence=True)
    assert second == rpc.Settings(read_receipts=True)
    assert third == rpc.Settings(read_receipts=True, typing_indicators=True) == await service.settings(cora)
    assert await service.settings(new_person("candidate")) == ALL


async def test_hidden_receipts_hold_in_every_conversation_and_move_the_hiders_view_alone(
    service: ConversationService, messages: MessageService, redis_url: str
) -> None:
    rita, cora, active = await talking(service)
    ruth, comp = new_person(), new_person("company")
    await service.meet(ruth, comp)
    waiting, declined = await service.start(ruth, cora), await service.start(comp, cora)
    await service.decline(cora, declined)
    everywhere = (active, waiting, declined)
    others = ((rita, active), (ruth, waiting), (comp, declined))

    async def readable() -> list[bytes]:
        return [(await service.get_all(who, [each])).SerializeToString() for who, each in others]

    before = await readable()
    heard = len(await told_at_last(redis_url, cora, 8))
    heard_by_others = [len(await told(redis_url, who)) for who, _ in others]

    hidden = await service.update_settings(cora, read_receipts=False)
    again = await service.update_settings(cora, read_receipts=False)

    assert hidden == again == rpc.Settings(typing_indicators=True, presence=True)
    assert [await hiders(messages, each) for each in everywhere] == [{cora.user_id}] * 3
    assert await readable() == before
    entries = (await told_at_last(redis_url, cora, heard + 1))[heard:]
    assert [(entry.type, entry.conversation_id, entry.refs["version"]) for entry in entries] == [
        ("conversation.updated", active, 3)
    ]
    assert [(await service.get(cora, each))[0].version for each in everywhere] == [3, 1, 2]

    await service.update_settings(cora, read_receipts=True)
    assert [await hiders(messages, each) for each in everywhere] == [set()] * 3
    assert len(await told_at_last(redis_url, cora, heard + 2)) == heard + 2
    assert await readable() == before
    assert [len(await told(redis_url, who)) for who, _ in others] == heard_by_others


async def test_a_later_conversation_begins_with_the_settings_of_both(
    service: ConversationService, messages: MessageService
) -> None:
    rita, cora = met()
    await service.meet(rita, cora)
    await service.update_settings(cora, read_receipts=False)

    conversation = await service.start(rita, cora)
    assert await hiders(messages, conversation) == {cora.user_id}
    await service.update_settings(rita, read_receipts=False)
    await service.accept(cora, conversation)
    assert await hiders(messages, conversation) == {rita.user_id, cora.user_id}

    ruth = new_person()
    await service.meet(ruth)
    await service.update_settings(ruth, read_receipts=False)
    assert await hiders(messages, await service.start(ruth, cora)) == {ruth.user_id, cora.user_id}


async def test_other_settings_touch_no_gate(service: ConversationService) -> None:
    _, cora, conversation = await talking(service)

    await service.update_settings(cora, typing_indicators=False, presence=False)

    query = "SELECT gate_version FROM conversations WHERE id = $1::text::uuid"
    assert await service.pool.fetchval(query, conversation) == 2


async def test_hundreds_of_conversations_are_pushed_before_the_answer(
    service: ConversationService, messages: MessageService
) -> None:
    _, cora, conversation = await talking(service)
    ids = [new_id() for _ in range(600)]
    # The same two, about 600 other jobs.
    for table, columns, key in (
        (
            "conversations",
            "kind, state, initiator_id, recipient_id, pair_low, pair_high, gate_pushed, gate_version, opened,"
            " created_at, expires_at, opening_at, push_due_at",
            "id",
        ),
        ("participants", "user_id, side, joined_at, updated_at", "conversation_id"),
    ):
        job = ("job_id,", "new.id::text,") if table == "conversations" else ("", "")
        await service.pool.execute(
            f"INSERT INTO {table} ({key}, {job[0]} {columns})"
            f" SELECT new.id, {job[1]} {columns} FROM {table}, unnest($2::uuid[]) AS new (id)"
            f" WHERE {table}.{key} = $1::text::uuid",
            conversation,
            ids,
        )

    await service.update_settings(cora, read_receipts=False)

    held = await messages.pool.fetch("SELECT gate_version FROM gate WHERE id = ANY ($1)", ids)
    assert [row["gate_version"] for row in held] == [3] * 600


@asynccontextmanager
async def behind(
    peer: Proxy, make_database: MakeDatabase, redis_url: str, amqp_url: str, key_folder: Path
) -> AsyncIterator[ConversationService]:
    """A service that reaches message_svc through `peer`, and pushes late what is owed."""
    async with run_conversation_service(
        make_database,
        redis_url,
        amqp_url,
        key_folder,
        peer.url.removeprefix("tcp://"),
        push_owed_after_seconds=0.2,
        push_sweep_seconds=0.1,
    ) as service:
        yield service


async def test_while_message_svc_is_away_it_is_saved_but_not_acknowledged(
    make_database: MakeDatabase,
    redis_url: str,
    amqp_url: str,
    key_folder: Path,
    messages: MessageService,
) -> None:
    async with (
        proxy_to(f"tcp://{messages.target}") as peer,
        behind(peer, make_database, redis_url, amqp_url, key_folder) as service,
    ):
        _, cora, conversation = await talking(service)
        heard = len(await told_at_last(redis_url, cora, 3))
        await peer.cut()
        for _ in range(2):  # a repeat does not take the commit for the deed
            with pytest.raises(ChatError) as refused:
                await service.update_settings(cora, read_receipts=False)
            assert refused.value.reason is Reason.UNAVAILABLE
        await service.update_settings(cora, presence=False)  # needs no push
        assert len(await told(redis_url, cora)) == heard
        await peer.heal()

        assert await eventually(lambda: hiders(messages, conversation)) == {cora.user_id}
        assert await service.update_settings(cora, read_receipts=False) == rpc.Settings(
            typing_indicators=True
        )
        assert len(await told_at_last(redis_url, cora, heard + 1)) == heard + 1


async def test_a_start_whose_answer_was_lost_is_found_and_has_the_new_setting(
    service: ConversationService, messages: MessageService
) -> None:
    rita, cora = met()
    await service.meet(rita, cora)
    conversation = await service.start(rita, cora)
    # As a crash between OpenConversation and its confirmation leaves it; the sweeper's turn does not come.
    await service.pool.execute(
        "UPDATE conversations SET opened = false, gate_pushed = 0, push_due_at = now() + interval '1 hour'"
        " WHERE id = $1::text::uuid",
        conversation,
    )

    await service.update_settings(rita, read_receipts=False)

    assert await hiders(messages, conversation) == {rita.user_id}
    assert len(await service.get(cora, conversation)) == 1


async def test_under_impersonation_settings_are_read_and_not_changed(service: ConversationService) -> None:
    shadow = new_person("candidate", impersonator="support")

    assert await service.settings(shadow) == ALL
    with pytest.raises(ChatError) as refused:
        await service.update_settings(shadow, presence=False)
    assert refused.value.reason is Reason.FORBIDDEN
