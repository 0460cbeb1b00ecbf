"""Accept, decline and withdraw at once: one of them holds, and both services and all callers agree."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from splits.chat.message.v1 import message_pb2 as pb

from conversation_svc import store
from servicekit.db import Query
from servicekit.identity import ActingUser
from tests.support.conversation_svc import ConversationService, new_person
from tests.support.message_svc import MessageService
from tests.support.races import ROUNDS_TO_CATCH, at_last

ANSWERS = 120
# (accept, decline, withdraw) succeeded -> the state it comes to. A withdrawal after a decline succeeds: to
# its sender a declined request still waits.
OUTCOMES = {
    (True, False, False): "active",
    (False, True, True): "withdrawn",
    (False, False, True): "withdrawn",
}


async def answer_at_once(
    service: ConversationService, rita: ActingUser, cora: ActingUser, conversation: str, chance: random.Random
) -> tuple[bool, bool, bool]:
    """All three at once, in another order each time; which of them succeeded."""

    async def after_a_moment(call: Awaitable[Any]) -> bool:
        for _ in range(chance.randrange(30)):
            await asyncio.sleep(0)
        return bool((await call).HasField("conversation"))

    accept, decline, withdraw = await asyncio.gather(
        after_a_moment(at_last(lambda: service.accept(cora, conversation))),
        after_a_moment(at_last(lambda: service.decline(cora, conversation))),
        after_a_moment(at_last(lambda: service.withdraw(rita, conversation))),
    )
    return accept, decline, withdraw


async def play(
    service: ConversationService, messages: MessageService, chance: random.Random
) -> tuple[str | None, bool]:
    """One round: the state that the answers come to (None: they contradict), and whether all agree on it."""
    rita, cora = new_person(), new_person("candidate")
    await service.meet(rita, cora)
    conversation = await at_last(lambda: service.start(rita, cora))
    answers = await answer_at_once(service, rita, cora, conversation, chance)
    row = await service.pool.fetchrow(
        "SELECT state, gate_version, gate_pushed FROM conversations WHERE id = $1::text::uuid", conversation
    )
    held = await messages.pool.fetchval(
        "SELECT gate_version FROM gate WHERE id = $1::text::uuid", conversation
    )
    assert row is not None
    stored = [
        (await messages.send(who.user_id, conversation, "after")).HasField("stored") for who in (rita, cora)
    ]
    state = OUTCOMES.get(answers)
    agreed = (
        row["state"] == state
        and row["gate_version"] == row["gate_pushed"] == held
        and stored == [state == "active"] * 2
    )
    return state, agreed


async def test_of_accept_decline_and_withdraw_one_holds_and_the_gate_says_the_same(
    conversations: ConversationService, messages: MessageService
) -> None:
    chance = random.Random(3)
    outcomes: Counter[str | None] = Counter()
    for _ in range(ANSWERS):
        state, agreed = await play(conversations, messages, chance)
        assert agreed, state
        outcomes[state] += 1

    assert set(outcomes) == {"active", "withdrawn"}, outcomes  # each side did win some


@contextmanager
def answers_without_lock() -> Iterator[None]:
    """A deliberately broken build: an answer reads the conversation and does not lock it."""
    queries = store.q._queries
    whole = queries["lock_conversations"].sql
    unlocked = Query("lock_conversations", whole.replace("FOR UPDATE", ""))
    assert unlocked.sql != whole
    with patch.dict(queries, {"lock_conversations": unlocked}):
        yield


async def test_the_check_catches_answers_that_do_not_lock_their_conversation(
    conversations: ConversationService, messages: MessageService
) -> None:
    chance = random.Random(3)
    agreed = True
    rounds = 0
    with answers_without_lock():
        while agreed and rounds < ROUNDS_TO_CATCH:
            _, agreed = await play(conversations, messages, chance)
            rounds += 1

    assert not agreed


async def test_a_reply_and_a_withdrawal_at_once_leave_no_message_behind_a_closed_door(
    conversations: ConversationService, messages: MessageService
) -> None:
    chance = random.Random(4)
    for _ in range(ANSWERS // 2):
        rita, cora = new_person(), new_person("candidate")
        await conversations.meet(rita, cora)
        conversation = await at_last(lambda who=rita, whom=cora: conversations.start(who, whom))  # type: ignore[misc]

        async def reply(who: ActingUser = cora, where: str = conversation) -> bool:
            accepted = await at_last(lambda: conversations.accept(who, where))
            if not accepted.HasField("conversation"):
                return False
            return (await at_last(lambda: messages.send(who.user_id, where, "reply"))).HasField("stored")

        async def withdraw(who: ActingUser = rita, where: str = conversation) -> bool:
            for _ in range(chance.randrange(30)):
                await asyncio.sleep(0)
            return (await at_last(lambda: conversations.withdraw(who, where))).HasField("conversation")

        replied, withdrawn = await asyncio.gather(reply(), withdraw())

        assert replied is not withdrawn
        view = await messages.view(cora.user_id, conversation)
        assert view is not None
        assert view.last_seq == (2 if replied else 1)
        assert view.folder == (pb.FOLDER_INBOX if replied else pb.FOLDER_UNSPECIFIED)
