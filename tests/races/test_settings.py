"""Receipts hidden while conversations begin and are accepted: what was answered holds in all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch
from uuid import UUID

from splits.chat.message.v1 import message_pb2 as pb

from conversation_svc import store
from servicekit.db import Query
from tests.support.conversation_svc import ConversationService, new_person
from tests.support.message_svc import MessageService
from tests.support.races import ROUNDS, ROUNDS_TO_CATCH, Aim, at_last

TOGGLES = ROUNDS // 5


async def race_hiding(
    accepting: bool, conversations: ConversationService, messages: MessageService, rounds: int
) -> int:
    """The round in which somebody's receipts stayed visible, or `rounds` when there was none."""
    aim = Aim(5)
    for number in range(rounds):
        if not await _hides(accepting, conversations, messages, aim):
            return number
    return rounds


async def _hides(
    accepting: bool, conversations: ConversationService, messages: MessageService, aim: Aim
) -> bool:
    """One round: the change strikes at some step of the other call."""
    ada, bob = new_person(), new_person("candidate")
    await conversations.meet(bob)

    async def start() -> str:
        return await at_last(lambda: conversations.start(ada, bob))

    async def accept(conversation: str) -> str:
        await at_last(lambda: conversations.accept(bob, conversation))
        return conversation

    running = asyncio.ensure_future(accept(await start()) if accepting else start())
    for _ in range(aim.steps()):
        await asyncio.sleep(0)
    await at_last(lambda: conversations.update_settings(bob, read_receipts=False))
    aim.learn(change_came_first=not running.done())
    raw = await messages.pool.fetchval("SELECT snapshot FROM gate WHERE id = $1", UUID(await running))
    hidden = [member.user_id for member in pb.Gate.FromString(raw).members if member.receipts_hidden]
    return hidden == [bob.user_id]


@contextmanager
def creations_that_do_not_share_the_settings() -> Iterator[None]:
    """A deliberately broken build: a creation does not keep the settings of its people as they are.

    And takes its time between reading them and writing, so that a fast machine meets the gap too.
    """
    harmless = Query("share_settings", "SELECT count(*) FROM unnest($1::bigint[])")
    whole = store.add_conversation

    async def slowly(*arguments: Any) -> None:
        await asyncio.sleep(0.01)
        await whole(*arguments)

    with (
        patch.dict(store.q._queries, {"share_settings": harmless}),
        patch.object(store, "add_conversation", slowly),
    ):
        yield


async def test_a_conversation_that_begins_meanwhile_begins_hidden(
    conversations: ConversationService, messages: MessageService
) -> None:
    assert await race_hiding(False, conversations, messages, TOGGLES) == TOGGLES


async def test_a_conversation_that_is_accepted_meanwhile_is_hidden(
    conversations: ConversationService, messages: MessageService
) -> None:
    assert await race_hiding(True, conversations, messages, TOGGLES) == TOGGLES


async def test_the_check_catches_a_creation_that_does_not_share_the_settings(
    conversations: ConversationService, messages: MessageService
) -> None:
    with creations_that_do_not_share_the_settings():
        assert await race_hiding(False, conversations, messages, ROUNDS_TO_CATCH) < ROUNDS_TO_CATCH
