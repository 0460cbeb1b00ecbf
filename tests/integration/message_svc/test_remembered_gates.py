"""Sends by what is remembered of gates: one statement where they stand as they were left, else nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import pytest_asyncio
from splits.chat.message.v1 import message_pb2 as pb
from splits.chat.message.v1 import service_pb2 as rpc

from servicekit.identity import ActingUser
from tests.integration.message_svc.frames import frames_of
from tests.support.backing import MakeDatabase
from tests.support.gates import active_gate, member, new_conversation_id, new_people, request_gate
from tests.support.message_svc import TIMEOUT, MessageService, run_message_service, run_replica
from tests.support.plans import explained
from tests.support.races import guesses_counted
from tests.support.waiting import eventually

BY_LOCKS = ["lock_gates", "place_messages"]
BY_MEMORY = ["place_unless_moved"]
OF_THE_OUTBOX = {"take_realtime", "take_bus", "delete_realtime", "delete_bus"}
WAITING = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def service(
    make_database: MakeDatabase, redis_url: str, amqp_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[MessageService]:
    """However often what is remembered is wrong, it goes on."""
    keys = tmp_path_factory.mktemp("keys")
    async with run_message_service(
        make_database, redis_url, amqp_url, keys, send_locked_seconds=0, send_repeats_seconds=0
    ) as running:
        yield running


async def talk_of(service: MessageService, *people: str) -> str:
    """A conversation whose gate is remembered: one message is stored."""
    conversation = new_conversation_id()
    await service.apply(active_gate(conversation, 1, people))
    assert (await service.send(people[0], conversation, "first")).HasField("stored")
    return conversation


async def sent(service: MessageService, *sends: rpc.Send) -> tuple[list[rpc.SendOutcome], list[str]]:
    """What became of a batch, and the statements that it took."""
    async with explained(service.pool) as plans:
        outcomes = await service.send_batch(*sends)
    return outcomes, [plan.name for plan in plans if plan.name not in OF_THE_OUTBOX]


async def test_what_is_remembered_is_written_in_one_statement(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = new_conversation_id()
    await service.apply(active_gate(conversation, 1, [ada, bob]))

    _, first = await sent(service, service.new_send(ada, conversation, "c1"))
    outcomes, second = await sent(
        service, service.new_send(bob, conversation, "c1"), service.new_send(ada, conversation, "c2")
    )

    assert (first, second) == (BY_LOCKS, BY_MEMORY)
    assert [outcome.stored.seq for outcome in outcomes] == [2, 3]
    for person, unread in ((ada, 1), (bob, 2)):
        view = await service.view(person, conversation)
        assert view is not None
        assert (view.last_seq, view.change_seq, view.unread_count) == (3, 3, unread)


async def test_an_answer_asks_only_whether_there_is_what_it_answers(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = await talk_of(service, ada, bob)
    first = await service.pool.fetchval(
        "SELECT id FROM message WHERE conversation_id = $1", UUID(conversation)
    )
    answer, stray = service.new_send(bob, conversation, "c1"), service.new_send(bob, conversation, "c2")
    answer.message.reply_to_id = str(first)
    stray.message.reply_to_id = new_conversation_id()

    (outcome,), names = await sent(service, answer)
    assert names == ["find_replied", *BY_MEMORY]
    assert outcome.stored.reply_to_id == str(first)

    (outcome,), names = await sent(service, stray)
    assert outcome.refused.reason == pb.REFUSAL_REASON_REPLY_NOT_FOUND
    assert "lock_gates" in names


async def test_of_a_batch_only_what_changed_elsewhere_is_decided_again_and_told_once(
    service: MessageService, redis_url: str
) -> None:
    ada, bob = new_people(2)
    moved, shut, *still = [await talk_of(service, ada, bob) for _ in range(4)]
    await service.all_told()
    async with run_replica(service) as replica, frames_of(redis_url, bob) as to_bob:
        await replica.send(bob, moved, "elsewhere")
        await service.apply(active_gate(shut, 2, [member(ada, can_send=False), bob]))

        outcomes, names = await sent(
            service, *(service.new_send(ada, each, "c2") for each in (still[0], moved, shut, still[1]))
        )
        frames = await to_bob.until(4)
        await service.all_told()

    assert names == [*BY_MEMORY, "lock_gates", "find_duplicates", "place_messages"]
    assert [outcome.stored.seq for outcome in outcomes] == [2, 3, 0, 2]
    assert outcomes[2].refused.reason == pb.REFUSAL_REASON_UNDELIVERABLE
    told = sorted((frame["conversationId"], frame["data"]["message"]["seq"]) for frame in frames)
    assert told == sorted([(moved, 2), (moved, 3), (still[0], 2), (still[1], 2)])
    assert (
        await service.pool.fetchval("SELECT count(*) FROM message WHERE conversation_id = $1", UUID(shut))
        == 1
    )


async def test_a_refusal_by_what_is_remembered_is_not_believed(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = new_conversation_id()
    await service.apply(request_gate(conversation, 1, ada, bob))
    assert (await service.send(ada, conversation, "c1")).stored.seq == 1
    (outcome,), names = await sent(service, service.new_send(ada, conversation, "c2"))
    assert outcome.refused.reason == pb.REFUSAL_REASON_REQUEST_PENDING
    assert names == ["lock_gates", "find_duplicates"]

    other = new_conversation_id()
    await service.apply(request_gate(other, 1, ada, bob))
    assert (await service.send(ada, other, "c1")).stored.seq == 1
    await service.apply(active_gate(other, 2, [ada, bob]))
    assert (await service.send(ada, other, "c2")).stored.seq == 2


async def test_an_edit_moves_the_gate_too(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = await talk_of(service, ada, bob)
    own = await service.pool.fetchval("SELECT id FROM message WHERE conversation_id = $1", UUID(conversation))
    edge = service.client()
    edit = rpc.EditMessageRequest(conversation_id=conversation, message_id=str(own), text="better")
    await edge.call(edge.stub.EditMessage, edit, timeout=TIMEOUT, acting=ActingUser(ada, "recruiter"))

    (outcome,), names = await sent(service, service.new_send(ada, conversation, "c2"))

    assert names == [*BY_MEMORY, *BY_LOCKS]
    assert (outcome.stored.seq, outcome.stored.change_seq) == (2, 3)


async def test_a_repeat_fails_the_statement_and_is_found(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation, other = await talk_of(service, ada, bob), await talk_of(service, ada, bob)

    outcomes = await service.send_batch(
        service.new_send(ada, other, "c2"), service.new_send(ada, conversation, "first")
    )

    assert [outcome.WhichOneof("outcome") for outcome in outcomes] == ["stored", "repeated"]
    assert (outcomes[0].stored.seq, outcomes[1].repeated.seq) == (2, 1)


async def test_who_has_to_wait_compares_with_what_was_waited_for(service: MessageService) -> None:
    ada, bob = new_people(2)
    marked, moved = await talk_of(service, ada, bob), await talk_of(service, ada, bob)
    with guesses_counted() as guesses:
        async with service.pool.acquire() as conn, conn.transaction():
            await conn.execute("SELECT FROM gate WHERE id = ANY ($1) FOR UPDATE", [UUID(marked), UUID(moved)])
            # As a read mark does, and as another's change does.
            await conn.execute("UPDATE member SET unread = 0 WHERE conversation_id = $1", UUID(marked))
            await conn.execute("UPDATE gate SET last_change = last_change + 1 WHERE id = $1", UUID(moved))
            sending = [asyncio.create_task(service.send(ada, each, "c2")) for each in (marked, moved)]
            await eventually(lambda: service.pool.fetchval(WAITING), until=lambda count: count > 0)
        outcomes = await asyncio.gather(*sending)

    assert [(outcome.stored.seq, outcome.stored.change_seq) for outcome in outcomes] == [(2, 2), (2, 3)]
    assert (guesses.right, guesses.wrong) in ((1, 1), (0, 1))  # of a batch each, or of one
    view = await service.view(bob, marked)
    assert view is not None
    assert view.unread_count == 1


async def test_what_is_decided_again_and_fails_leaves_the_rest_stored(service: MessageService) -> None:
    ada, bob = new_people(2)
    still, held = await talk_of(service, ada, bob), await talk_of(service, ada, bob)
    async with service.pool.acquire() as conn:
        # Another's write that this process has not heard of, and one that goes on for long.
        await conn.execute("UPDATE gate SET last_change = last_change + 1 WHERE id = $1", UUID(held))
        async with conn.transaction():
            await conn.execute("SELECT FROM gate WHERE id = $1 FOR UPDATE", UUID(held))
            outcomes = await service.send_batch(
                service.new_send(ada, still, "c2"), service.new_send(ada, held, "c2")
            )

    assert outcomes[0].stored.seq == 2
    assert outcomes[1].fault.code == "unavailable"
    assert (await service.send(ada, held, "c2")).stored.change_seq == 3


async def test_of_what_is_decided_again_only_that_fails_whose_gate_is_held(service: MessageService) -> None:
    ada, bob = new_people(2)
    still, moved, held = [await talk_of(service, ada, bob) for _ in range(3)]
    async with service.pool.acquire() as conn:
        changed = [UUID(moved), UUID(held)]
        await conn.execute("UPDATE gate SET last_change = last_change + 1 WHERE id = ANY ($1)", changed)
        async with conn.transaction():
            await conn.execute("SELECT FROM gate WHERE id = $1 FOR UPDATE", UUID(held))
            outcomes = await service.send_batch(
                *(service.new_send(ada, each, "c2") for each in (still, held, moved))
            )

    assert [outcome.stored.seq for outcome in outcomes] == [2, 0, 2]
    assert outcomes[1].fault.code == "unavailable"
