"""A start, a change of the same pair's rights and walks that look for openings, all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from conversation_svc import store
from conversation_svc.actions import create_conversation
from conversation_svc.actions.push_gates import not_enforced
from conversation_svc.actions.reconcile_openings import reconcile_openings
from servicekit.errors import ChatError
from tests.support.conversation_svc import ConversationService, new_person
from tests.support.message_svc import MessageService
from tests.support.races import ROUNDS, ROUNDS_TO_CATCH, Aim, at_last, stored


@contextmanager
def starts_killed_before_they_confirm() -> Iterator[None]:
    """message_svc has answered a start, and the process is gone before it has kept the answer."""

    async def lost(*_: Any) -> None:
        raise not_enforced()

    with patch.object(create_conversation, "confirm_pushes", lost):
        yield


async def wrong_in(conversations: ConversationService, messages: MessageService, rounds: int) -> str:
    """What was wrong in the first round that went wrong ("" = nothing)."""
    aim = Aim(seed=11)
    # These walks leave no start to its call, and so meet each at every stage.
    deps = replace(conversations.app.deps, push_owed_after=timedelta(0))
    ids = "SELECT id::text, opened FROM conversations WHERE initiator_id = $1"
    for _ in range(rounds):
        rita, cora = new_person(), new_person("candidate")
        await conversations.meet(rita, cora)
        start = asyncio.create_task(conversations.create(rita, cora))
        walks = [asyncio.create_task(reconcile_openings(deps, asyncio.Event())) for _ in range(2)]
        for _ in range(aim.steps()):
            await asyncio.sleep(0)
        await at_last(lambda cora=cora: conversations.update_settings(cora, read_receipts=False))  # type: ignore[misc]
        [answer, *_] = await asyncio.gather(start, *walks, return_exceptions=True)
        if isinstance(answer, BaseException) and not (isinstance(answer, ChatError) and answer.retryable):
            raise answer

        [row] = await conversations.pool.fetch(ids, rita.user_id)
        aim.learn(change_came_first=not row["opened"])
        await reconcile_openings(deps, asyncio.Event())
        [row] = await conversations.pool.fetch(ids, rita.user_id)
        holds = await stored(messages.pool, row["id"])
        if (row["opened"], holds) != (True, 1):
            return f"opened: {row['opened']}, messages: {holds}"
    return ""


async def test_a_start_that_is_found_under_way_ends_as_any_other(
    conversations: ConversationService, messages: MessageService
) -> None:
    assert await wrong_in(conversations, messages, ROUNDS // 10) == ""


async def test_a_start_that_is_killed_is_found_whatever_was_pushed_before_its_message(
    conversations: ConversationService, messages: MessageService
) -> None:
    with starts_killed_before_they_confirm():
        assert await wrong_in(conversations, messages, ROUNDS // 10) == ""


async def test_the_check_catches_walks_that_find_nothing(
    conversations: ConversationService, messages: MessageService
) -> None:
    async def nothing(*_: Any) -> list[Any]:
        return []

    with starts_killed_before_they_confirm(), patch.object(store, "list_unopened", nothing):
        assert await wrong_in(conversations, messages, ROUNDS_TO_CATCH)
