"""Either schema restored to an earlier time: both come to agree, and what this service says is enforced."""

from __future__ import annotations

import asyncio

from conversation_svc.actions.reconcile_gates import reconcile_gates
from tests.support.conversation_svc import (
    ConversationService,
)
from tests.support.message_svc import MessageService
from tests.support.pushes import refused_to, talking
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
