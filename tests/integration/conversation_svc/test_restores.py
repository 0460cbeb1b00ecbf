"""Either schema restored to an earlier time: both come to agree, and what this service says is enforced."""

from __future__ import annotations

import asyncio

import pytest
from splits.chat.conversation.v1 import service_pb2 as rpc

from conversation_svc.actions.reconcile_gates import reconcile_gates
from servicekit.errors import ChatError, Reason
from tests.support.conversation_svc import ConversationService, new_person
from tests.support.message_svc import TIMEOUT, MessageService
from tests.support.proxy import Proxy
from tests.support.pushes import away, owed, pushed, refused_to, talking, unavailable
from tests.support.waiting import eventually


async def test_what_message_svc_lost_is_pushed_again(
    quick: ConversationService, messages: MessageService
) -> None:
    rita, cora, conversation = await talking(quick)
    await quick.block(cora, rita)
    # A restore of message_svc's schema to a time before.
    await messages.pool.execute("DELETE FROM gate WHERE id = $1::text::uuid", conversation)

    async def held() -> int | None:
        version: int | None = await messages.pool.fetchval(
            "SELECT gate_version FROM gate WHERE id = $1::text::uuid", conversation
        )
        return version

    assert await eventually(held) == 3


async def test_a_walk_over_all_conversations_ends_at_the_stop(
    service: ConversationService, messages: MessageService
) -> None:
    _, _, conversation = await talking(service)
    await messages.pool.execute("DELETE FROM gate WHERE id = $1::text::uuid", conversation)
    stop = asyncio.Event()
    stop.set()

    assert await reconcile_gates(service.app.deps, stop) == 0

    stop.clear()
    await reconcile_gates(service.app.deps, stop)
    assert await messages.pool.fetchval("SELECT count(*) FROM gate WHERE id = $1::text::uuid", conversation)


async def test_what_conversation_svc_forgot_is_enforced_above_what_is_held(
    quick: ConversationService, messages: MessageService
) -> None:
    rita, cora, conversation = await talking(quick)
    await quick.block(cora, rita)
    await quick.unblock(cora, rita)
    assert (await messages.send(rita.user_id, conversation, "open")).HasField("stored")
    # A restore of conversation_svc's schema to the time of the block.
    async with quick.pool.acquire() as conn, conn.transaction():
        await conn.execute("UPDATE blocks SET removed_at = NULL WHERE blocker_id = $1", cora.user_id)
        await conn.execute(
            "UPDATE conversations SET gate_version = 3, gate_pushed = 3 WHERE id = $1::text::uuid",
            conversation,
        )

    await eventually(lambda: refused_to(messages, rita, conversation))
    version = await quick.pool.fetchval(
        "SELECT gate_version FROM conversations WHERE id = $1::text::uuid", conversation
    )
    assert version == 5


async def test_a_change_under_a_version_that_is_held_with_other_content_is_enforced(
    service: ConversationService, messages: MessageService
) -> None:
    rita, cora, conversation = await talking(service)
    await service.block(cora, rita)
    # A restore to before the block: the next change takes the version that the block had.
    async with service.pool.acquire() as conn, conn.transaction():
        await conn.execute("DELETE FROM blocks WHERE blocker_id = $1", cora.user_id)
        await conn.execute(
            "UPDATE conversations SET gate_version = 2, gate_pushed = 2 WHERE id = $1::text::uuid",
            conversation,
        )

    await service.block(rita, cora)

    for pool, query in (
        (service.pool, "SELECT gate_version FROM conversations WHERE id = $1::text::uuid"),
        (messages.pool, "SELECT gate_version FROM gate WHERE id = $1::text::uuid"),
    ):
        assert await pool.fetchval(query, conversation) == 4
    await service.unblock(rita, cora)
    assert (await messages.send(rita.user_id, conversation, "open")).HasField("stored")


async def test_a_first_message_found_under_a_gate_of_our_version_does_not_make_that_gate_ours(
    quick: ConversationService, messages: MessageService
) -> None:
    rita, cora = new_person(), new_person("candidate")
    await quick.meet(rita, cora)
    conversation = await quick.start(rita, cora)
    await quick.block(cora, rita)
    # A restore to before the first message was confirmed; a change since has taken the block's version.
    async with quick.pool.acquire() as conn, conn.transaction():
        await conn.execute("DELETE FROM blocks WHERE blocker_id = $1", cora.user_id)
        await conn.execute(
            "UPDATE conversations SET opened = false, gate_pushed = 0, push_due_at = now()"
            " WHERE id = $1::text::uuid",
            conversation,
        )

    await pushed(quick, conversation)

    assert await versions(quick, messages, conversation) == (3, 3)


async def test_an_opening_that_conversation_svc_forgot_is_found_though_nothing_is_owed(
    quick: ConversationService, messages: MessageService
) -> None:
    _, cora, conversation = await talking(quick)
    # A restore to a time after a first try that a block had refused: the start and its acceptance came later.
    await quick.pool.execute(
        "UPDATE conversations SET state = 'request', opened = false, gate_applied = true, gate_version = 1,"
        " gate_pushed = 1 WHERE id = $1::text::uuid",
        conversation,
    )

    assert await eventually(lambda: quick.get(cora, conversation))
    await eventually(lambda: versions(quick, messages, conversation), until=lambda both: both == (3, 3))


async def test_a_repush_puts_a_gate_of_the_same_version_and_other_content_right(
    service: ConversationService, messages: MessageService
) -> None:
    rita, cora, conversation = await talking(service)
    await service.block(cora, rita)
    # As a release leaves it that computes rights otherwise: nothing is owed, and other rights are held.
    await service.pool.execute("DELETE FROM blocks WHERE blocker_id = $1", cora.user_id)
    assert await refused_to(messages, rita, conversation)

    await repush(service, limit=2)

    assert (await messages.send(rita.user_id, conversation, "open")).HasField("stored")
    assert await versions(service, messages, conversation) == (4, 4)
    all_open = "SELECT id, gate_version FROM conversations WHERE opened ORDER BY id"
    before = {row["id"]: row["gate_version"] for row in await service.pool.fetch(all_open)}
    pages = await repush(service, limit=500)
    after = {row["id"]: row["gate_version"] for row in await service.pool.fetch(all_open)}
    # What other tests left half open is opened meanwhile by whoever reconciles.
    assert len(before) <= sum(page.pushed for page in pages) <= len(after)
    assert before == {each: after[each] for each in before}
    assert not await owed(service, *map(str, before))


async def test_what_a_repush_could_not_push_is_owed(
    quick: ConversationService, messages: MessageService, between: Proxy
) -> None:
    _, _, conversation = await talking(quick)
    await messages.pool.execute("DELETE FROM gate WHERE id = $1::text::uuid", conversation)
    async with away(between):
        await unavailable(repush(quick, limit=500))
        assert await owed(quick, conversation) == 1

    await pushed(quick, conversation)
    assert await messages.pool.fetchval("SELECT count(*) FROM gate WHERE id = $1::text::uuid", conversation)


async def test_only_services_of_the_marketplace_repush(service: ConversationService) -> None:
    with pytest.raises(ChatError) as refused:
        await service.call("RepushGates", rpc.RepushGatesRequest(), None)
    assert refused.value.reason is Reason.FORBIDDEN


async def repush(service: ConversationService, limit: int) -> list[rpc.RepushGatesResponse]:
    """All gates, page by page; the pages."""
    client = service.client("ats_sync")
    request = rpc.RepushGatesRequest(limit=limit)
    pages: list[rpc.RepushGatesResponse] = []
    while not pages or request.after_conversation_id:
        pages.append(await client.call(client.stub.RepushGates, request, timeout=TIMEOUT))
        request.after_conversation_id = pages[-1].next_after_conversation_id
    return pages


async def versions(
    service: ConversationService, messages: MessageService, conversation: str
) -> tuple[int, int]:
    """The gate's version here, and the one held."""
    ours = "SELECT gate_version FROM conversations WHERE id = $1::text::uuid"
    theirs = "SELECT gate_version FROM gate WHERE id = $1::text::uuid"
    return await service.pool.fetchval(ours, conversation), await messages.pool.fetchval(theirs, conversation)
