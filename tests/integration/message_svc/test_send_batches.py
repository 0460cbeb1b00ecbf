"""Sends of many calls in few transactions, over real gRPC and Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest
import pytest_asyncio
from splits.chat.message.v1 import service_pb2 as rpc

from servicekit.errors import ChatError, Reason
from tests.support.backing import MakeDatabase, TestDatabase
from tests.support.gates import active_gate, new_conversation_id, new_people
from tests.support.message_svc import MessageService, run_message_service
from tests.support.proxy import proxy_to
from tests.support.waiting import eventually


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="session",
    params=[{"send_gates_remembered": 0}, {"remembers": True}],
    ids=["locked", "remembered"],
)
async def service(
    request: pytest.FixtureRequest,
    make_database: MakeDatabase,
    redis_url: str,
    amqp_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[MessageService]:
    """With one transaction at a time, so that whoever comes while one waits has to wait too."""
    keys = tmp_path_factory.mktemp("keys")
    async with run_message_service(
        make_database, redis_url, amqp_url, keys, send_batches_in_flight=1, **request.param
    ) as running:
        yield running


class Talk:
    """Two people with an accepted conversation."""

    def __init__(self, service: MessageService) -> None:
        self._service = service
        self.sender, self.other = new_people(2)
        self.id = new_conversation_id()

    async def begin(self) -> Talk:
        await self._service.apply(active_gate(self.id, 1, [self.sender, self.other]))
        return self

    def new_send(self, client_id: str) -> rpc.Send:
        return self._service.new_send(self.sender, self.id, client_id)

    def sending(self, client_id: str) -> asyncio.Task[rpc.SendOutcome]:
        return asyncio.create_task(self._service.send(self.sender, self.id, client_id))

    async def stored(self) -> list[str]:
        """Client ids in the order of their numbers."""
        rows = await self._service.pool.fetch(
            "SELECT client_message_id FROM message WHERE conversation_id = $1 ORDER BY seq", UUID(self.id)
        )
        return [row["client_message_id"] for row in rows]


@asynccontextmanager
async def held_up(service: MessageService) -> AsyncIterator[asyncio.Task[rpc.SendOutcome]]:
    """A send that waits in its transaction, for a gate that is held inside of this context."""
    talk = await Talk(service).begin()
    async with service.pool.acquire() as conn, conn.transaction():
        await conn.execute("SELECT FROM gate WHERE id = $1 FOR UPDATE", UUID(talk.id))
        call = talk.sending("held-up")

        async def waits() -> int:
            count: int = await service.pool.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            return count

        await eventually(waits, until=lambda count: count == 1)
        yield call


async def queued(service: MessageService, sends: int) -> None:
    """Returns once so many sends wait for a transaction."""

    async def waiting() -> int:
        return service.app.batches.waiting

    await eventually(waiting, until=lambda count: count == sends)


async def in_transaction(service: MessageService) -> None:
    """Returns once a transaction has begun."""

    async def in_flight() -> int:
        return service.app.batches.in_flight

    await eventually(in_flight)


async def test_calls_that_come_while_a_transaction_runs_share_the_next(service: MessageService) -> None:
    talks = [await Talk(service).begin() for _ in range(10)]
    async with held_up(service) as first:
        calls = [talk.sending("c1") for talk in talks]
        await queued(service, 10)

    outcomes = await asyncio.gather(first, *calls)

    assert [outcome.stored.seq for outcome in outcomes] == [1] * 11
    transactions = await service.pool.fetchval(
        "SELECT count(DISTINCT xmin::text) FROM message WHERE conversation_id = ANY ($1::uuid[])",
        [UUID(talk.id) for talk in talks],
    )
    assert transactions == 1


async def test_sends_of_one_sender_are_numbered_as_they_came(service: MessageService) -> None:
    talk = await Talk(service).begin()
    calls = []
    async with held_up(service) as first:
        for number in range(50):
            calls.append(talk.sending(f"c{number:02}"))
            await queued(service, number + 1)

    await asyncio.gather(first, *calls)

    assert await talk.stored() == [f"c{number:02}" for number in range(50)]


async def test_a_call_whose_deadline_passes_while_it_waits_stores_nothing(service: MessageService) -> None:
    late, punctual = await Talk(service).begin(), await Talk(service).begin()
    client = service.client()
    async with held_up(service) as first:
        kept = punctual.sending("kept")
        await queued(service, 1)
        with pytest.raises(ChatError) as caught:
            await client.call(
                client.stub.SendMessages, rpc.SendMessagesRequest(sends=[late.new_send("late")]), timeout=0.3
            )
        await queued(service, 1)

    await asyncio.gather(first, kept)
    await late.sending("after")

    assert caught.value.reason is Reason.UNAVAILABLE
    assert await punctual.stored() == ["kept"]
    assert await late.stored() == ["after"]


async def test_a_message_that_postgres_refuses_harms_no_other_call(service: MessageService) -> None:
    full, other = await Talk(service).begin(), await Talk(service).begin()
    await service.pool.execute(
        "UPDATE member SET unread = 2147483647 WHERE conversation_id = $1", UUID(full.id)
    )
    async with held_up(service) as first:
        refused, kept = full.sending("refused"), other.sending("kept")
        await queued(service, 2)

    outcomes = await asyncio.gather(first, refused, kept)

    assert [outcome.WhichOneof("outcome") for outcome in outcomes] == ["stored", "fault", "stored"]
    assert outcomes[1].fault.code == "validation_failed"


async def test_a_gate_that_somebody_holds_for_too_long_fails_its_own_conversation_alone(
    service: MessageService,
) -> None:
    held, free = await Talk(service).begin(), await Talk(service).begin()
    async with service.pool.acquire() as conn, conn.transaction():
        await conn.execute("SELECT FROM gate WHERE id = $1 FOR UPDATE", UUID(held.id))
        outcomes = await service.send_batch(held.new_send("held"), free.new_send("free"))

    assert outcomes[0].fault.code == "unavailable"
    assert outcomes[1].stored.seq == 1
    assert await held.stored() == []


async def test_stopping_answers_what_is_in_work(
    make_database: MakeDatabase, redis_url: str, amqp_url: str, tmp_path: Path
) -> None:
    async with run_message_service(
        make_database, redis_url, amqp_url, tmp_path, send_batches_in_flight=1
    ) as service:
        talk = await Talk(service).begin()
        async with held_up(service) as first:
            waiting = talk.sending("waiting")
            await queued(service, 1)
            stopping = asyncio.create_task(service.app.batches.close())
        outcomes = await asyncio.gather(first, waiting)
        await stopping

    assert all(outcome.HasField("stored") for outcome in outcomes)


async def test_postgres_going_away_fails_all_who_wait_and_nothing_is_acknowledged(
    make_database: MakeDatabase, redis_url: str, amqp_url: str, tmp_path: Path
) -> None:
    database = await make_database()
    async with proxy_to(database.admin_url) as proxy:

        async def through_the_proxy() -> TestDatabase:
            return TestDatabase(database.name, proxy.url)

        async with run_message_service(
            through_the_proxy, redis_url, amqp_url, tmp_path, send_batches_in_flight=1
        ) as service:
            talks = [await Talk(service).begin() for _ in range(5)]
            proxy.freeze()
            calls = [talks[0].sending("c1")]
            await in_transaction(service)
            calls += [talk.sending("c1") for talk in talks[1:]]
            await queued(service, 4)

            await proxy.cut()
            outcomes = await asyncio.gather(*calls, return_exceptions=True)

            assert [getattr(outcome, "reason", outcome) for outcome in outcomes] == [Reason.UNAVAILABLE] * 5
            await proxy.heal()
            assert [await talk.stored() for talk in talks] == [[]] * 5
            outcome = await talks[0].sending("c1")
            assert outcome.stored.seq == 1
