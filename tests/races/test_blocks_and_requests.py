"""Blocks, declines and creations raced through both services, each check proven on a broken build (I5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

from splits.chat.conversation.v1 import service_pb2 as rpc
from splits.chat.message.v1 import message_pb2 as pb
from splits.chat.message.v1 import service_pb2 as message_rpc

from conversation_svc import store as conversation_store
from conversation_svc.actions import change_block
from servicekit.db import Query
from servicekit.identity import ActingUser
from tests.support.conversation_svc import ConversationService, new_person
from tests.support.message_svc import MessageService
from tests.support.races import (
    ROUNDS,
    ROUNDS_TO_CATCH,
    Aim,
    Round,
    at_last,
    gates_not_compared,
    guesses_counted,
    race,
    stored,
)


@dataclass
class Chat:
    """Both services, used as the edge uses them."""

    conversations: ConversationService
    messages: MessageService
    replica: MessageService | None = None
    """Takes every other message, when there is one."""
    _sent: int = 0

    async def write(self, who: ActingUser, conversation: str, client_id: str) -> bool:
        """Sends; the recipient of a request accepts first. Whether it was stored."""
        outcome = await self._send(who, conversation, client_id)
        if outcome.refused.reason == pb.REFUSAL_REASON_ACCEPT_REQUIRED:
            answer = await at_last(lambda: self.conversations.accept(who, conversation))
            if answer.HasField("refused"):
                return False
            outcome = await self._send(who, conversation, client_id)
        return outcome.HasField("stored")

    async def _send(self, who: ActingUser, conversation: str, client_id: str) -> message_rpc.SendOutcome:
        self._sent += 1
        taker = self.replica if self.replica is not None and self._sent % 2 else self.messages
        return await at_last(lambda: taker.send(who.user_id, conversation, client_id))

    async def people(self) -> tuple[ActingUser, ActingUser]:
        """Two people who are known to the chat."""
        ada, bob = new_person("recruiter"), new_person("candidate")
        await self.conversations.meet(ada, bob)
        return ada, bob


async def rounds_of(play: Callable[[int, Aim], Awaitable[Round]], rounds: int) -> list[Round]:
    """Plays rounds until one is violated."""
    aim = Aim(11)
    results: list[Round] = []
    for number in range(rounds):
        results.append(await play(number, aim))
        if results[-1].violated:
            break
    return results


async def race_sends_against_blocks(chat: Chat, rounds: int) -> list[Round]:
    """Both write in an accepted conversation until they are refused; one of them blocks the other."""
    ada, bob = await chat.people()
    conversation = await chat.conversations.start(ada, bob)
    assert await chat.write(bob, conversation, "accepts")

    async def play(number: int, aim: Aim) -> Round:
        async def write(who: ActingUser, device: str) -> None:
            for attempt in range(30):  # bounded: a broken build may never refuse
                if not await chat.write(who, conversation, f"{number}-{device}-{attempt}"):
                    return

        async def block() -> bool:
            await at_last(lambda: chat.conversations.block(bob, ada))
            return True

        writers = [lambda: write(ada, "one"), lambda: write(ada, "other"), lambda: write(bob, "one")]
        result = await race(lambda: stored(chat.messages.pool, conversation), writers, block, aim)
        await at_last(lambda: chat.conversations.unblock(bob, ada))
        return result

    return await rounds_of(play, rounds)


async def race_replies_against_declines(chat: Chat, rounds: int) -> list[Round]:
    """On one device the recipient replies, which accepts; on the other they decline."""

    async def play(number: int, aim: Aim) -> Round:
        ada, bob = await chat.people()  # others each round: who declined is not asked again so soon
        conversation = await at_last(lambda: chat.conversations.start(ada, bob))

        async def reply() -> None:
            for attempt in range(3):
                if not await chat.write(bob, conversation, f"r{attempt}"):
                    return

        async def decline() -> bool:
            answer = await at_last(lambda: chat.conversations.decline(bob, conversation))
            return answer.HasField("conversation")

        result = await race(lambda: stored(chat.messages.pool, conversation), [reply], decline, aim)
        aim.learn(change_came_first=result.acknowledged)
        return result

    return await rounds_of(play, rounds)


async def race_creates_against_blocks(chat: Chat, rounds: int) -> list[Round]:
    """One writes to another for the first time, who blocks them at that moment."""

    async def play(number: int, aim: Aim) -> Round:
        ada, bob = await chat.people()

        async def create() -> None:
            await at_last(lambda: chat.conversations.create(ada, bob))

        async def block() -> bool:
            await at_last(lambda: chat.conversations.block(bob, ada))
            return True

        async def written() -> int:
            count: int = await chat.messages.pool.fetchval(
                "SELECT count(*) FROM message WHERE sender_id = $1", ada.user_id
            )
            return count

        result = await race(written, [create], block, aim)
        aim.learn(change_came_first=result.in_the_end == 0)
        return result

    return await rounds_of(play, rounds)


@contextmanager
def blocks_acknowledged_unpushed() -> Iterator[None]:
    """A deliberately broken build: a block answers before message_svc holds it."""

    async def later(deps: object, gates: object) -> None:
        """Leaves the push to the sweeper."""

    with patch.object(change_block, "push_gates", later):
        yield


@contextmanager
def without_lock(name: str) -> Iterator[None]:
    """A deliberately broken build: one of the locking statements locks nothing."""
    queries = conversation_store.q._queries
    whole = queries[name].sql
    harmless = whole.replace("FOR UPDATE", "").replace("pg_advisory_xact_lock($1::bigint)", "$1::bigint")
    assert harmless != whole
    with patch.dict(queries, {name: Query(name, harmless)}):
        yield


async def test_no_message_is_stored_after_a_block_was_acknowledged(
    conversations: ConversationService, messages: MessageService
) -> None:
    results = await race_sends_against_blocks(Chat(conversations, messages), ROUNDS)

    assert len(results) == ROUNDS
    assert not [result for result in results if result.violated]
    assert results[-1].in_the_end > ROUNDS / 2  # the writers did get through before the blocks


async def test_no_message_of_any_replica_is_stored_after_a_block_was_acknowledged(
    conversations: ConversationService, messages: MessageService, replica: MessageService
) -> None:
    with guesses_counted() as guesses:
        results = await race_sends_against_blocks(Chat(conversations, messages, replica), ROUNDS // 4)

    assert len(results) == ROUNDS // 4
    assert not [result for result in results if result.violated]
    assert guesses.right > ROUNDS / 20
    assert guesses.wrong > ROUNDS / 20


async def test_the_check_catches_a_send_by_what_is_remembered_of_a_gate_that_changed(
    conversations: ConversationService, messages: MessageService
) -> None:
    with gates_not_compared():
        results = await race_sends_against_blocks(Chat(conversations, messages), ROUNDS_TO_CATCH)

    assert results[-1].violated


async def test_the_check_catches_a_block_acknowledged_before_it_is_pushed(
    conversations: ConversationService, messages: MessageService
) -> None:
    with blocks_acknowledged_unpushed():
        results = await race_sends_against_blocks(Chat(conversations, messages), ROUNDS_TO_CATCH)

    assert results[-1].violated


async def test_no_reply_is_stored_after_a_decline_was_acknowledged(
    conversations: ConversationService, messages: MessageService
) -> None:
    results = await race_replies_against_declines(Chat(conversations, messages), ROUNDS)

    assert len(results) == ROUNDS
    assert not [result for result in results if result.violated]
    wins = sum(result.acknowledged for result in results)
    assert 0 < wins < ROUNDS, "one side won every round: nothing was raced"


async def test_the_check_catches_an_answer_that_does_not_lock_its_conversation(
    conversations: ConversationService, messages: MessageService
) -> None:
    with without_lock("lock_conversations"):
        results = await race_replies_against_declines(Chat(conversations, messages), ROUNDS_TO_CATCH)

    assert results[-1].violated


async def test_no_first_message_is_stored_after_a_block_was_acknowledged(
    conversations: ConversationService, messages: MessageService
) -> None:
    results = await race_creates_against_blocks(Chat(conversations, messages), ROUNDS)

    assert len(results) == ROUNDS
    assert not [result for result in results if result.violated]
    early = sum(result.in_the_end for result in results)
    assert 0 < early < ROUNDS, "one side won every round: nothing was raced"


async def test_the_check_catches_a_creation_that_does_not_lock_its_pair(
    conversations: ConversationService, messages: MessageService
) -> None:
    with without_lock("lock_pair"):
        results = await race_creates_against_blocks(Chat(conversations, messages), ROUNDS_TO_CATCH)

    assert results[-1].violated


async def test_starts_from_both_sides_at_once_make_one_accepted_conversation(
    conversations: ConversationService, messages: MessageService
) -> None:
    chat = Chat(conversations, messages)

    async def start(who: ActingUser, whom: ActingUser) -> str:
        response: rpc.CreateConversationResponse = await at_last(lambda: chat.conversations.create(who, whom))
        if response.HasField("created"):
            return response.created.conversation.id
        assert response.HasField("existing"), response
        assert await chat.write(who, response.existing.id, "first")
        return response.existing.id

    async def play(number: int, aim: Aim) -> Round:
        ada, bob = await chat.people()
        ids: list[str] = []

        async def one() -> None:
            ids.append(await start(ada, bob))

        async def other() -> bool:
            ids.append(await start(bob, ada))
            return False

        async def count() -> int:
            return await stored(messages.pool, ids[0])

        result = await race(count, [one], other, aim)
        assert len(ids) == 2
        assert len(set(ids)) == 1
        assert result.in_the_end == 2
        view = await messages.view(ada.user_id, ids[0])
        assert view is not None
        assert view.folder == pb.FOLDER_INBOX
        return result

    assert len(await rounds_of(play, ROUNDS // 5)) == ROUNDS // 5
