"""The end of requests raced against their answers: each ends in one way, and all parts agree in which."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch
from uuid import UUID

from splits.chat.message.v1 import message_pb2 as pb

from conversation_svc import store
from conversation_svc.actions.expire_requests import expire_requests
from servicekit.db import Query
from tests.support.conversation_svc import ConversationService, new_person
from tests.support.message_svc import MessageService
from tests.support.races import ROUNDS, ROUNDS_TO_CATCH, Aim, at_last

EXPIRED = pb.CONVERSATION_STATE_EXPIRED
ANSWERED = {
    "accept": pb.CONVERSATION_STATE_ACTIVE,
    "decline": pb.CONVERSATION_STATE_DECLINED,
    "withdraw": pb.CONVERSATION_STATE_WITHDRAWN,
}


async def race_end_against(
    answer: str, conversations: ConversationService, messages: MessageService, rounds: int
) -> tuple[int, str]:
    """How many answers came in time, and what went wrong ("" = nothing, in all the rounds)."""
    aim = Aim(7)
    in_time = 0
    for _ in range(rounds):
        answered, wrong = await _end_against(answer, conversations, messages, aim.steps())
        aim.learn(change_came_first=not answered)
        in_time += answered
        if wrong:
            return in_time, f"answered: {answered}, {wrong}"
    return in_time, ""


async def _end_against(
    answer: str, conversations: ConversationService, messages: MessageService, steps: int
) -> tuple[bool, str]:
    """One round; the end strikes after `steps` steps. Whether the answer came in time, and what is wrong."""
    ada, bob = new_person(), new_person("candidate")
    await conversations.meet(bob)
    conversation = await at_last(lambda: conversations.start(ada, bob))
    await conversations.pool.execute(
        "UPDATE conversations SET expires_at = now() - interval '1 second' WHERE id = $1",
        UUID(conversation),
    )
    who, call = ada if answer == "withdraw" else bob, getattr(conversations, answer)
    running = asyncio.ensure_future(at_last(lambda: call(who, conversation)))
    for _ in range(steps):
        await asyncio.sleep(0)
    await expire_requests(conversations.app.deps)
    answered = (await running).HasField("conversation")
    await expire_requests(conversations.app.deps)  # what the answer held locked is looked at again

    states = [(await conversations.get(each, conversation))[0].state for each in (ada, bob)]
    expected = [ANSWERED[answer] if answered else EXPIRED] * 2
    if answer == "decline":
        expected[0] = EXPIRED  # to the initiator it ends all the same
    if states != expected:
        return answered, f"states: {states}"
    views = [await messages.view(each.user_id, conversation) for each in (ada, bob)]
    if [view.state for view in views if view] != expected:
        return answered, f"message_svc shows {views}"
    gate = await messages.pool.fetchval("SELECT gate_version FROM gate WHERE id = $1", UUID(conversation))
    if gate != (3 if answer == "decline" and answered else 2):
        return answered, f"gate {gate}"
    return answered, ""


@contextmanager
def answers_without_lock() -> Iterator[None]:
    """A deliberately broken build: an answer reads the conversation and does not lock it."""
    whole = store.q._queries["lock_conversations"].sql
    unlocked = Query("lock_conversations", whole.replace("FOR UPDATE", ""))
    assert unlocked.sql != whole
    with patch.dict(store.q._queries, {"lock_conversations": unlocked}):
        yield


async def test_an_accept_comes_in_time_or_the_request_ends(
    conversations: ConversationService, messages: MessageService
) -> None:
    in_time, wrong = await race_end_against("accept", conversations, messages, ROUNDS // 2)

    assert wrong == ""
    assert 0 < in_time < ROUNDS // 2, "one side won every round: nothing was raced"


async def test_a_decline_comes_in_time_or_the_request_ends(
    conversations: ConversationService, messages: MessageService
) -> None:
    in_time, wrong = await race_end_against("decline", conversations, messages, ROUNDS // 5)

    assert wrong == ""
    assert 0 < in_time < ROUNDS // 5, "one side won every round: nothing was raced"


async def test_a_withdrawal_comes_in_time_or_the_request_ends(
    conversations: ConversationService, messages: MessageService
) -> None:
    in_time, wrong = await race_end_against("withdraw", conversations, messages, ROUNDS // 5)

    assert wrong == ""
    assert 0 < in_time < ROUNDS // 5, "one side won every round: nothing was raced"


async def test_the_check_catches_an_answer_that_does_not_lock_its_conversation(
    conversations: ConversationService, messages: MessageService
) -> None:
    with answers_without_lock():
        _, wrong = await race_end_against("accept", conversations, messages, ROUNDS_TO_CATCH)

    assert wrong
