"""Receipts hidden while conversations begin and are accepted: what was answered holds in all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch
from uuid import UUID

from splits.chat.message.v1 import message_pb2 as pb

from conversation_svc import store
from conversation_svc.domain import Situation
from servicekit.db import Executor, Query
from tests.support.conversation_svc import ConversationService, new_person
from tests.support.message_svc import MessageService
from tests.support.races import ROUNDS, Aim, at_last

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


@dataclass
class Gap:
    """Holds a creation between what it read and its commit, until the change was answered."""

    has_read: asyncio.Event = field(default_factory=asyncio.Event)
    may_commit: asyncio.Event = field(default_factory=asyncio.Event)


async def _hides(
    accepting: bool, conversations: ConversationService, messages: MessageService, aim: Aim | Gap
) -> bool:
    """One round: the change strikes at some step of the other call, or in its gap."""
    ada, bob = new_person(), new_person("candidate")
    await conversations.meet(bob)

    async def start() -> str:
        return await at_last(lambda: conversations.start(ada, bob))

    async def accept(conversation: str) -> str:
        await at_last(lambda: conversations.accept(bob, conversation))
        return conversation

    async def hide() -> None:
        await at_last(lambda: conversations.update_settings(bob, read_receipts=False))

    running = asyncio.ensure_future(accept(await start()) if accepting else start())
    if isinstance(aim, Gap):
        async with asyncio.timeout(60):
            await aim.has_read.wait()
        try:
            await hide()
        finally:
            aim.may_commit.set()
    else:
        for _ in range(aim.steps()):
            await asyncio.sleep(0)
        await hide()
        aim.learn(change_came_first=not running.done())
    raw = await messages.pool.fetchval("SELECT snapshot FROM gate WHERE id = $1", UUID(await running))
    hidden = [member.user_id for member in pb.Gate.FromString(raw).members if member.receipts_hidden]
    return hidden == [bob.user_id]


@contextmanager
def creations_that_do_not_share_the_settings() -> Iterator[Gap]:
    """A deliberately broken build: a creation does not keep the settings of its people as they are.

    And waits in the gap until it is let on, so that the change meets it on every machine.
    """
    harmless = Query("share_settings", "SELECT count(*) FROM unnest($1::bigint[])")
    add, get = store.add_conversation, store.get_situations
    gap, added = Gap(), list[UUID]()

    async def add_conversation(conn: Executor, new: Situation, *arguments: Any) -> None:
        await add(conn, new, *arguments)
        added.append(new.conversation.id)

    async def get_situations(conn: Executor, ids: Sequence[UUID]) -> list[Situation]:
        found = await get(conn, ids)
        if added and list(ids) == added and not gap.has_read.is_set():
            gap.has_read.set()
            await gap.may_commit.wait()
        return found

    with (
        patch.dict(store.q._queries, {"share_settings": harmless}),
        patch.object(store, "add_conversation", add_conversation),
        patch.object(store, "get_situations", get_situations),
    ):
        yield gap


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
    with creations_that_do_not_share_the_settings() as gap:
        assert not await _hides(False, conversations, messages, gap)
