"""One idempotency key used for several starts at once: one of them is made, and the others are told so."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from splits.chat.conversation.v1 import service_pb2 as rpc
from splits.chat.message.v1 import message_pb2 as pb

from conversation_svc import store
from servicekit.db import Query
from tests.support.conversation_svc import ConversationService, new_person
from tests.support.races import ROUNDS, at_last

CONFLICT = pb.REFUSAL_REASON_IDEMPOTENCY_CONFLICT


async def starts_at_once(conversations: ConversationService) -> str:
    """Two people are written to under one key, one of them twice; what is wrong ("" = nothing)."""
    rita, cora, cleo = new_person(), new_person("candidate"), new_person("candidate")
    await conversations.meet(cora, cleo)
    answers: list[rpc.CreateConversationResponse] = await asyncio.gather(
        *(
            at_last(lambda whom=whom: conversations.create(rita, whom, key="k1"))  # type: ignore[misc]
            for whom in (cora, cora, cleo)
        )
    )
    made = {answer.created.conversation.id or answer.existing.id for answer in answers} - {""}
    refusals = [answer.refused.reason for answer in answers if answer.HasField("refused")]
    stored = await conversations.pool.fetchval(
        "SELECT count(*) FROM conversations WHERE initiator_id = $1", rita.user_id
    )
    # Whoever came first: cora's two agree, or cleo's is the one.
    right = len(made) == stored == 1 and refusals in ([CONFLICT], [CONFLICT] * 2)
    return "" if right else f"{made} {refusals} {stored}"


async def wrong_in(conversations: ConversationService, rounds: int) -> str:
    """What was wrong in the first round that went wrong."""
    for _ in range(rounds):
        wrong = await starts_at_once(conversations)
        if wrong:
            return wrong
    return ""


async def test_starts_under_one_key_at_once_make_one(conversations: ConversationService) -> None:
    assert await wrong_in(conversations, ROUNDS // 5) == ""


@contextmanager
def starts_that_do_not_lock_their_key() -> Iterator[None]:
    """A deliberately broken build: a start reads what its key stands for and does not lock it.

    And the three of a round wait for each other there, so that they meet the gap on every machine.
    """
    harmless = Query("lock_start_key", "SELECT $1::bigint")
    whole = store.get_start_key
    all_read, come = asyncio.Barrier(3), itertools.count(1)

    async def read(*arguments: Any) -> Any:
        found = await whole(*arguments)
        if next(come) <= 3:  # not who tries again
            async with asyncio.timeout(60):
                await all_read.wait()
        return found

    with (
        patch.dict(store.q._queries, {"lock_start_key": harmless}),
        patch.object(store, "get_start_key", read),
    ):
        yield


async def test_the_check_catches_starts_that_do_not_lock_their_key(
    conversations: ConversationService,
) -> None:
    with starts_that_do_not_lock_their_key():
        assert await starts_at_once(conversations)
