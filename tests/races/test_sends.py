"""Many people writing at once: numbers, repeats and unread counts stay exact."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from uuid import UUID

from splits.chat.message.v1 import message_pb2 as pb
from splits.chat.message.v1 import service_pb2 as rpc

from tests.support.gates import active_gate, member, new_conversation_id, new_people
from tests.support.message_svc import MessageService
from tests.support.races import (
    ROUNDS,
    ROUNDS_TO_CATCH,
    Aim,
    Round,
    at_last,
    gates_not_compared,
    gates_read_without_lock,
    guesses_counted,
    pushes_acknowledged_unapplied,
    race,
    stored,
)


async def test_a_thousand_concurrent_sends_of_eight_people_are_numbered_1_to_1000(
    messages: MessageService,
) -> None:
    people = new_people(8)
    conversation = new_conversation_id()
    await messages.apply(active_gate(conversation, 1, people))

    async def send(n: int) -> int:
        # Again when it takes longer than a caller waits, as it may on a loaded machine.
        outcome = await at_last(lambda: messages.send(people[n % 8], conversation, f"c{n}", f"text {n}"))
        return outcome.stored.seq or outcome.repeated.seq

    numbers = await asyncio.gather(*(send(n) for n in range(1000)))

    assert sorted(numbers) == list(range(1, 1001))
    rows = await messages.pool.fetch(
        "SELECT seq, change_seq, sender_id, text FROM message WHERE conversation_id = $1 ORDER BY seq",
        UUID(conversation),
    )
    assert [row["seq"] for row in rows] == [row["change_seq"] for row in rows] == list(range(1, 1001))
    assert {row["text"] for row in rows} == {f"text {n}" for n in range(1000)}
    for person in people:
        view = await messages.view(person, conversation)
        assert view is not None
        assert (view.last_seq, view.unread_count) == (1000, 875)


async def test_two_replicas_number_what_is_written_to_them_in_turns(
    messages: MessageService, replica: MessageService
) -> None:
    people, conversations, each = new_people(4), [new_conversation_id() for _ in range(3)], 40
    for conversation in conversations:
        await messages.apply(active_gate(conversation, 1, people))

    async def write(who: str, conversation: str) -> list[int]:
        """One after another, each to a replica that is left to chance; the numbers they were given."""
        chance, seqs = random.Random(who + conversation), []
        for number in range(each):
            taker = chance.choice([messages, replica])
            outcome = await at_last(lambda: taker.send(who, conversation, f"c{number}"))  # noqa: B023 - awaited
            seqs.append(outcome.stored.seq or outcome.repeated.seq)
        return seqs

    with guesses_counted() as guesses:
        written = [[write(who, conversation) for who in people] for conversation in conversations]
        numbers = await asyncio.gather(*(asyncio.gather(*writers) for writers in written))

    assert guesses.right > 0
    assert guesses.wrong > 0
    for conversation, given in zip(conversations, numbers, strict=True):
        assert sorted(seq for seqs in given for seq in seqs) == list(range(1, each * len(people) + 1))
        assert all(seqs == sorted(seqs) for seqs in given)
        rows = await messages.pool.fetch(
            "SELECT seq, change_seq FROM message WHERE conversation_id = $1 ORDER BY seq", UUID(conversation)
        )
        assert [tuple(row) for row in rows] == [(n + 1, n + 1) for n in range(each * len(people))]
        for person in people:
            view = await replica.view(person, conversation)
            assert view is not None
            assert (view.last_seq, view.unread_count) == (each * len(people), each * (len(people) - 1))


async def test_one_message_sent_fifty_times_at_once_is_one_row_and_one_answer(
    messages: MessageService,
) -> None:
    ada, bob = new_people(2)
    conversation = new_conversation_id()
    await messages.apply(active_gate(conversation, 1, [ada, bob]))

    outcomes = await asyncio.gather(*(messages.send(ada, conversation, "once") for _ in range(50)))

    kinds = Counter(outcome.WhichOneof("outcome") for outcome in outcomes)
    assert kinds == {"stored": 1, "repeated": 49}
    answers = {(outcome.stored.id or outcome.repeated.id) for outcome in outcomes}
    assert len(answers) == 1
    assert (
        await messages.pool.fetchval(
            "SELECT count(*) FROM message WHERE conversation_id = $1", UUID(conversation)
        )
        == 1
    )


async def test_read_marks_racing_sends_leave_the_exact_count(messages: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = new_conversation_id()
    await messages.apply(active_gate(conversation, 1, [ada, bob]))
    await messages.send(ada, conversation, "c0")
    chance = random.Random(20)

    async def read() -> None:
        for _ in range(100):
            await messages.read(bob, conversation, chance.randrange(1, 220))

    async def write(who: str, prefix: str) -> None:
        for number in range(100):
            await messages.send(who, conversation, f"{prefix}{number}")

    await asyncio.gather(read(), read(), write(ada, "a"), write(bob, "b"))

    view = await messages.view(bob, conversation)
    assert view is not None
    recount = await messages.pool.fetchval(
        "SELECT count(*) FROM message WHERE conversation_id = $1 AND seq > $2 AND sender_id <> $3",
        UUID(conversation),
        view.last_read_seq,
        bob,
    )
    assert view.unread_count == recount


async def sent_at_last(
    messages: MessageService, who: str, conversation: str, client_id: str
) -> rpc.SendOutcome:
    """Sends until there is an answer: a broken build deadlocks now and then, which is UNAVAILABLE."""
    return await at_last(lambda: messages.send(who, conversation, client_id))


async def applied_at_last(messages: MessageService, gate: pb.Gate) -> rpc.HeldGate:
    """Pushes until it is acknowledged, as conversation_svc does."""
    return (await at_last(lambda: messages.apply(gate)))[0]


async def race_sends_against_pushes(messages: MessageService, rounds: int) -> list[Round]:
    """Each round opens the gate, lets six people write until they are refused, and shuts it in their midst.

    Ends early at the first violation.
    """
    people = new_people(6)
    conversation = new_conversation_id()
    aim = Aim(7)
    results = []
    version = 0
    for number in range(rounds):
        version += 1
        await applied_at_last(messages, active_gate(conversation, version, people))

        async def write(who: str, round_number: int = number) -> None:
            for attempt in range(50):  # bounded: a broken build may never shut its gate
                outcome = await sent_at_last(messages, who, conversation, f"{round_number}-{attempt}")
                if not outcome.HasField("stored"):
                    return

        version += 1
        shut = active_gate(conversation, version, [member(who, can_send=False) for who in people])

        async def push(gate: pb.Gate = shut) -> bool:
            held = await applied_at_last(messages, gate)
            return held.gate_version == gate.gate_version

        result = await race(
            lambda: stored(messages.pool, conversation),
            [lambda who=who: write(who) for who in people],  # type: ignore[misc]
            push,
            aim,
        )
        results.append(result)
        if result.violated:
            break
    return results


async def test_nothing_is_stored_after_a_shut_gate_was_acknowledged(messages: MessageService) -> None:
    results = await race_sends_against_pushes(messages, ROUNDS)

    assert len(results) == ROUNDS
    assert all(result.acknowledged for result in results)
    assert not [result for result in results if result.violated]
    assert results[-1].in_the_end > ROUNDS  # the writers did write


async def test_the_check_catches_a_send_that_does_not_lock_its_gate(messages: MessageService) -> None:
    with gates_read_without_lock():
        results = await race_sends_against_pushes(messages, ROUNDS_TO_CATCH)

    assert results[-1].violated


async def test_the_check_catches_a_send_that_does_not_compare_its_gate(messages: MessageService) -> None:
    with gates_not_compared():
        results = await race_sends_against_pushes(messages, ROUNDS_TO_CATCH)

    assert results[-1].violated


async def test_the_check_catches_a_push_acknowledged_before_it_holds(messages: MessageService) -> None:
    with pushes_acknowledged_unapplied():
        results = await race_sends_against_pushes(messages, ROUNDS_TO_CATCH)

    assert results[-1].violated
