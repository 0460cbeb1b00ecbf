"""The push: nothing is acknowledged or told before message_svc enforces it, and every fault heals."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
import pytest
import pytest_asyncio
from splits.chat.conversation.v1 import service_pb2 as rpc
from splits.chat.conversation.v1 import service_pb2_grpc
from splits.chat.message.v1 import message_pb2

from conversation_svc import app, store
from conversation_svc.actions.deps import Deps
from conversation_svc.actions.reconcile_gates import reconcile_gates
from conversation_svc.actions.resolve_unopened import resolve_unopened
from conversation_svc.actions.sweep_pushes import sweep_pushes
from servicekit.errors import ChatError, Reason
from servicekit.grpc_client import ServiceClient
from servicekit.identity import ActingUser, Signer
from tests.support.backing import MakeDatabase
from tests.support.conversation_svc import (
    ConversationService,
    new_person,
    run_conversation_service,
    told,
    told_at_last,
)
from tests.support.message_svc import MessageService
from tests.support.proxy import Proxy, proxy_to
from tests.support.races import at_last
from tests.support.waiting import eventually

if TYPE_CHECKING:  # the stubs alone know the asynchronous flavour
    Stub: TypeAlias = service_pb2_grpc.ConversationServiceAsyncStub

UNDELIVERABLE = message_pb2.REFUSAL_REASON_UNDELIVERABLE
QUICK: dict[str, Any] = {
    "message_svc_timeout_seconds": 1.0,
    "push_owed_after_seconds": 0.2,
    "push_sweep_seconds": 0.1,
    "reconcile_seconds": 0.3,
    "unopened_ttl_seconds": 10.0,
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def between(messages: MessageService) -> AsyncIterator[Proxy]:
    """What stands between the two services."""
    async with proxy_to(f"tcp://{messages.target}") as proxy:
        yield proxy


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def quick(
    make_database: MakeDatabase, redis_url: str, amqp_url: str, key_folder: Path, between: Proxy
) -> AsyncIterator[ConversationService]:
    """A service that reaches message_svc through `between` and does not wait long for anything."""
    target = between.url.removeprefix("tcp://")
    async with run_conversation_service(
        make_database, redis_url, amqp_url, key_folder, target, **QUICK
    ) as running:
        yield running


@asynccontextmanager
async def away(between: Proxy) -> AsyncIterator[None]:
    """message_svc cannot be reached."""
    await between.cut()
    try:
        yield
    finally:
        await between.heal()


async def unavailable(call: Awaitable[object]) -> None:
    with pytest.raises(ChatError) as refused:
        await call
    assert refused.value.reason is Reason.UNAVAILABLE
    assert refused.value.retryable


async def talking(service: ConversationService) -> tuple[ActingUser, ActingUser, str]:
    rita, cora = new_person(), new_person("candidate")
    await service.meet(rita, cora)
    conversation = await service.start(rita, cora)
    await service.accept(cora, conversation)
    return rita, cora, conversation


async def owed(service: ConversationService, *conversations: str) -> int:
    """How many of them wait for a push."""
    count: int = await service.pool.fetchval(
        "SELECT count(*) FROM conversations"
        " WHERE gate_pushed < gate_version AND id = ANY ($1::text[]::uuid[])",
        conversations,
    )
    return count


async def pushed(service: ConversationService, *conversations: str) -> None:
    await eventually(lambda: owed(service, *conversations), until=lambda count: count == 0, within=60)


async def test_a_block_while_message_svc_is_away_is_kept_but_neither_acknowledged_nor_told(
    quick: ConversationService, messages: MessageService, between: Proxy, redis_url: str
) -> None:
    rita, cora, conversation = await talking(quick)
    heard = len(await told_at_last(redis_url, cora, 3))

    async with away(between):
        await unavailable(quick.block(cora, rita))
        await unavailable(quick.block(cora, rita))  # a repeat does not take the commit for the deed
        assert await owed(quick, conversation) == 1
        assert (await messages.send(rita.user_id, conversation, "between")).HasField("stored")
        entries = await told(redis_url, cora)
        assert [entry.type for entry in entries[heard:]] == ["message.created"]

    await pushed(quick, conversation)
    assert (await messages.send(rita.user_id, conversation, "late")).refused.reason == UNDELIVERABLE
    entries = await told_at_last(redis_url, cora, heard + 3)
    assert [entry.type for entry in entries[heard + 1 :]] == ["conversation.updated", "block.created"]
    await quick.block(cora, rita)


async def test_the_repeat_completes_what_the_first_call_could_not(
    quick: ConversationService, messages: MessageService, between: Proxy
) -> None:
    rita, cora, conversation = await talking(quick)
    async with away(between):
        await unavailable(quick.block(cora, rita))

    await at_last(lambda: quick.block(cora, rita))
    assert (await messages.send(rita.user_id, conversation, "late")).refused.reason == UNDELIVERABLE


async def test_answers_while_message_svc_is_away_are_completed_later(
    quick: ConversationService, between: Proxy, redis_url: str
) -> None:
    people = [(new_person(), new_person("candidate")) for _ in range(3)]
    for rita, cora in people:
        await quick.meet(rita, cora)
    one, two, three = [await quick.start(rita, cora) for rita, cora in people]

    async with away(between):
        await unavailable(quick.accept(people[0][1], one))
        await unavailable(quick.decline(people[1][1], two))
        await unavailable(quick.withdraw(people[2][0], three))

    await pushed(quick, one, two, three)
    assert (await told_at_last(redis_url, people[0][0], 3))[-1].type == "conversation.accepted"
    assert (await told_at_last(redis_url, people[1][1], 3))[-1].type == "conversation.declined"
    assert (await told_at_last(redis_url, people[2][0], 3))[-1].type == "conversation.updated"
    assert (await quick.accept(people[0][1], one)).conversation.version == 2


async def test_a_message_svc_that_hangs_is_unavailable_and_holds_up_nobody_else(
    quick: ConversationService, between: Proxy
) -> None:
    rita, cora, _ = await talking(quick)
    between.freeze()
    try:
        hanging = asyncio.create_task(quick.block(cora, rita))
        await quick.get(rita, str(uuid.uuid4()))
        await unavailable(hanging)
    finally:
        await between.heal()
    await at_last(lambda: quick.block(cora, rita))


async def test_a_start_while_message_svc_is_away_is_invisible_and_the_retry_opens_it(
    quick: ConversationService, messages: MessageService, between: Proxy
) -> None:
    rita, cora = new_person(), new_person("candidate")
    await quick.meet(rita, cora)
    async with away(between):
        await unavailable(quick.create(rita, cora))
        [row] = await quick.pool.fetch(
            "SELECT id::text FROM conversations WHERE initiator_id = $1", rita.user_id
        )
        conversation = row["id"]
        for who in (rita, cora):
            assert await quick.get(who, conversation) == []
            with pytest.raises(ChatError) as refused:
                await quick.accept(who, conversation)
            assert refused.value.reason is Reason.NOT_FOUND

    response = await at_last(lambda: quick.create(rita, cora, client_id="second-try"))
    assert response.created.conversation.id == conversation
    view = await messages.view(cora.user_id, conversation)
    assert view is not None
    assert view.last_message.client_message_id == "second-try"


async def test_the_other_sides_first_message_opens_what_was_never_opened_and_accepts_it(
    quick: ConversationService, messages: MessageService, between: Proxy, redis_url: str
) -> None:
    rita, cora = new_person(), new_person("candidate")
    await quick.meet(rita, cora)
    async with away(between):
        await unavailable(quick.create(rita, cora, "job-1"))

    conversation = (await at_last(lambda: quick.create(cora, rita, "job-2"))).created.conversation.id
    [seen] = await quick.get(rita, conversation)
    assert (seen.state, seen.context.job_id) == (message_pb2.CONVERSATION_STATE_ACTIVE, "job-1")
    assert seen.initiator_id == rita.user_id
    assert (await messages.send(rita.user_id, conversation, "r1")).stored.seq == 2
    types = [entry.type for entry in await told_at_last(redis_url, rita, 4)]
    assert "conversation.accepted" in types


async def test_a_stored_first_message_whose_answer_was_lost_is_found(
    quick: ConversationService, messages: MessageService
) -> None:
    rita, cora = new_person(), new_person("candidate")
    await quick.meet(rita, cora)
    conversation = await quick.start(rita, cora)
    await forget_opening(quick, conversation, "0 seconds")
    assert await quick.get(cora, conversation) == []

    assert await eventually(lambda: quick.get(cora, conversation))
    assert (await quick.accept(cora, conversation)).HasField("conversation")


async def test_a_block_of_somebody_whose_opening_was_not_confirmed_finds_it_first(
    quick: ConversationService, messages: MessageService
) -> None:
    rita, cora = new_person(), new_person("candidate")
    await quick.meet(rita, cora)
    conversation = await quick.start(rita, cora)
    await forget_opening(quick, conversation, "1 hour")  # the sweeper's turn does not come

    await quick.block(cora, rita)

    [seen] = await quick.get(cora, conversation)
    assert seen.blocked_by_me


async def test_a_gate_pushed_by_a_block_meanwhile_is_not_taken_for_a_first_message(
    quick: ConversationService, between: Proxy
) -> None:
    rita, cora = new_person(), new_person("candidate")
    await quick.meet(rita, cora)
    async with away(between):
        await unavailable(quick.create(rita, cora))
    [row] = await quick.pool.fetch("SELECT id FROM conversations WHERE initiator_id = $1", rita.user_id)
    await at_last(lambda: quick.block(cora, rita))  # after the sweeper claimed it, before it asked

    await resolve_unopened(quick.app.deps, [row["id"]])

    assert await quick.get(cora, str(row["id"])) == []
    assert (await quick.create(rita, cora)).refused.reason == UNDELIVERABLE


async def test_a_block_pushed_late_still_finds_the_first_message_that_was_stored(
    quick: ConversationService, between: Proxy
) -> None:
    rita, cora = new_person(), new_person("candidate")
    await quick.meet(rita, cora)
    conversation = await quick.start(rita, cora)
    await forget_opening(quick, conversation, "1 hour")  # as if killed before it confirmed the opening
    async with away(between):
        await unavailable(quick.block(cora, rita))

    await at_last(lambda: quick.block(cora, rita))

    [seen] = await quick.get(cora, conversation)
    assert seen.blocked_by_me


async def test_a_start_that_is_in_use_does_not_keep_others_from_being_forgotten(
    service: ConversationService,
) -> None:
    now = service.app.deps.clock.now()
    ids: list[uuid.UUID] = []
    for _ in range(2):
        rita, cora = new_person(), new_person("candidate")
        await service.meet(rita, cora)
        conversation = uuid.UUID(await service.start(rita, cora))
        await service.pool.execute("UPDATE conversations SET opened = false WHERE id = $1", conversation)
        ids.append(conversation)

    async with service.pool.acquire() as conn, conn.transaction():
        await store.lock_conversations(conn, ids[:1])
        await store.delete_unopened(service.pool, ids, now + timedelta(hours=1))

    left = await service.pool.fetch("SELECT id FROM conversations WHERE id = ANY ($1)", ids)
    assert [row["id"] for row in left] == ids[:1]


async def forget_opening(service: ConversationService, conversation: str, due_in: str) -> None:
    """As a crash between OpenConversation and its confirmation leaves it."""
    await service.pool.execute(
        "UPDATE conversations SET opened = false, gate_pushed = 0, push_due_at = now() + $2::text::interval"
        " WHERE id = $1::text::uuid",
        conversation,
        due_in,
    )


async def test_a_start_that_nobody_repeats_is_forgotten_with_all_that_it_owed(
    quick: ConversationService, between: Proxy
) -> None:
    rita, cora = new_person(), new_person("candidate")
    await quick.meet(rita, cora)
    async with away(between):
        await unavailable(quick.create(rita, cora))
        await unavailable(quick.create(cora, rita))  # joins, and owes that it accepted
        [conversation] = await quick.pool.fetch(
            "UPDATE conversations SET opening_at = opening_at - interval '1 minute', push_due_at = now()"
            " WHERE initiator_id = $1 RETURNING id",
            rita.user_id,
        )
        waits = "SELECT count(*) FROM owed_waits WHERE conversation_id = $1"
        assert await quick.pool.fetchval(waits, conversation["id"]) == 3

    async def left() -> int:
        count: int = await quick.pool.fetchval(
            "SELECT (SELECT count(*) FROM conversations WHERE id = $1)"
            " + (SELECT count(*) FROM owed_events WHERE conversation_id = $1)",
            conversation["id"],
        )
        return count

    await eventually(left, until=lambda count: count == 0, within=60)


async def test_a_block_that_overtakes_the_first_message_makes_it_undeliverable(
    quick: ConversationService, messages: MessageService, between: Proxy
) -> None:
    rita, cora = new_person(), new_person("candidate")
    await quick.meet(rita, cora)
    async with away(between):
        await unavailable(quick.create(rita, cora))
    await at_last(lambda: quick.block(cora, rita))

    refused = await quick.create(rita, cora)
    await quick.unblock(cora, rita)
    created = await quick.create(rita, cora)

    assert refused.refused.reason == UNDELIVERABLE
    assert created.created.message.seq == 1


async def test_what_message_svc_lost_is_pushed_again(
    quick: ConversationService, messages: MessageService
) -> None:
    rita, cora, conversation = await talking(quick)
    await quick.block(cora, rita)
    # A restore of message_svc's schema to a time before.
    await messages.pool.execute("DELETE FROM gate WHERE id = $1::text::uuid", conversation)

    async def held() -> int | None:
        version: int | None = await messages.pool.fetchval(
            "SELECT gate_version FROM gate WHERE id = $1::text::uuid", conversation
        )
        return version

    assert await eventually(held) == 3


async def test_a_walk_over_all_conversations_ends_at_the_stop(
    service: ConversationService, messages: MessageService
) -> None:
    _, _, conversation = await talking(service)
    await messages.pool.execute("DELETE FROM gate WHERE id = $1::text::uuid", conversation)
    stop = asyncio.Event()
    stop.set()

    assert await reconcile_gates(service.app.deps, stop) == 0

    stop.clear()
    await reconcile_gates(service.app.deps, stop)
    assert await messages.pool.fetchval("SELECT count(*) FROM gate WHERE id = $1::text::uuid", conversation)


async def test_what_conversation_svc_forgot_is_enforced_above_what_is_held(
    quick: ConversationService, messages: MessageService
) -> None:
    rita, cora, conversation = await talking(quick)
    await quick.block(cora, rita)
    await quick.unblock(cora, rita)
    assert (await messages.send(rita.user_id, conversation, "open")).HasField("stored")
    # A restore of conversation_svc's schema to the time of the block.
    async with quick.pool.acquire() as conn, conn.transaction():
        await conn.execute("UPDATE blocks SET removed_at = NULL WHERE blocker_id = $1", cora.user_id)
        await conn.execute(
            "UPDATE conversations SET gate_version = 3, gate_pushed = 3 WHERE id = $1::text::uuid",
            conversation,
        )

    await eventually(lambda: refused_to(messages, rita, conversation))
    version = await quick.pool.fetchval(
        "SELECT gate_version FROM conversations WHERE id = $1::text::uuid", conversation
    )
    assert version == 5


async def test_a_change_under_a_version_that_is_held_with_other_content_is_enforced(
    service: ConversationService, messages: MessageService
) -> None:
    rita, cora, conversation = await talking(service)
    await service.block(cora, rita)
    # A restore to before the block: the next change takes the version that the block had.
    async with service.pool.acquire() as conn, conn.transaction():
        await conn.execute("DELETE FROM blocks WHERE blocker_id = $1", cora.user_id)
        await conn.execute(
            "UPDATE conversations SET gate_version = 2, gate_pushed = 2 WHERE id = $1::text::uuid",
            conversation,
        )

    await service.block(rita, cora)

    for pool, query in (
        (service.pool, "SELECT gate_version FROM conversations WHERE id = $1::text::uuid"),
        (messages.pool, "SELECT gate_version FROM gate WHERE id = $1::text::uuid"),
    ):
        assert await pool.fetchval(query, conversation) == 4
    await service.unblock(rita, cora)
    assert (await messages.send(rita.user_id, conversation, "open")).HasField("stored")


async def test_a_gate_that_cannot_be_pushed_holds_up_no_other(
    quick: ConversationService, messages: MessageService, between: Proxy
) -> None:
    rita, cora, conversation = await talking(quick)
    carl, cleo, bad = await talking(quick)
    long_id = "x" * 201  # beyond the contract: message_svc refuses the whole call
    async with quick.pool.acquire() as conn, conn.transaction():
        await conn.execute(
            "UPDATE participants SET user_id = $2 WHERE conversation_id = $1::text::uuid AND user_id = $3",
            bad,
            long_id,
            cleo.user_id,
        )
    async with away(between):
        await unavailable(quick.block(carl, cleo))
        await unavailable(quick.block(cora, rita))
        await quick.pool.execute(
            "UPDATE conversations SET push_due_at = now() WHERE id = ANY ($1::text[]::uuid[])",
            [conversation, bad],
        )

    await pushed(quick, conversation)
    assert await owed(quick, bad) == 1
    await quick.pool.execute("DELETE FROM conversations WHERE id = $1::text::uuid", bad)


async def test_the_sweeper_outlives_postgres_and_message_svc_being_away(
    make_database: MakeDatabase,
    redis_url: str,
    amqp_url: str,
    key_folder: Path,
    messages: MessageService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures: list[str] = []

    async def sweep(deps: Deps) -> int:
        try:
            return await sweep_pushes(deps)
        except Exception as error:
            failures.append(type(error).__name__)
            raise

    async def failed() -> int:
        return len(failures)

    monkeypatch.setattr(app, "sweep_pushes", sweep)
    database = await make_database()
    async with (
        proxy_to(await database.url("conversation_svc")) as postgres,
        proxy_to(f"tcp://{messages.target}") as peer,
        run_conversation_service(
            make_database,
            redis_url,
            amqp_url,
            key_folder,
            peer.url.removeprefix("tcp://"),
            database=database,
            database_url=postgres.url,
            **QUICK,
        ) as service,
    ):
        rita, cora, conversation = await talking(service)
        async with away(peer):
            await unavailable(service.block(cora, rita))
            async with away(postgres):
                await unavailable(service.block(cora, rita))
                seen = len(failures)
                await eventually(failed, until=lambda count: count > seen + 1)
        await eventually(lambda: refused_to(messages, rita, conversation), within=60)
        assert all(not task.done() for task in service.app._tasks)


async def refused_to(messages: MessageService, who: ActingUser, conversation: str) -> bool:
    outcome = await messages.send(who.user_id, conversation, f"try-{uuid.uuid4().hex}")
    return outcome.refused.reason == UNDELIVERABLE


@asynccontextmanager
async def serving_process(
    database_url: str, redis_url: str, amqp_url: str, keys: Path, peer: Proxy
) -> AsyncIterator[tuple[asyncio.subprocess.Process, ServiceClient[Stub]]]:
    """`python -m conversation_svc serve`, and a client of the edge."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "conversation_svc", "serve"),
        env={
            **os.environ,
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "AMQP_URL": amqp_url,
            "GRPC_PORT": str(port),
            "MESSAGE_SVC_TARGET": peer.url.removeprefix("tcp://"),
            "MESSAGE_SVC_TIMEOUT_SECONDS": "60",
            "SERVICE_KEY_FILE": str(keys / "conversation_svc.pem"),
            "SERVICE_TRUST_FILE": str(keys / "trust.json"),
        },
        stdout=asyncio.subprocess.DEVNULL,
    )
    signer = Signer.from_file("edge_gateway", keys / "edge_gateway.pem")
    client: ServiceClient[Stub] = ServiceClient(
        f"127.0.0.1:{port}", service_pb2_grpc.ConversationServiceStub, signer
    )

    hello = rpc.SyncProfileRequest()
    try:
        await at_last(
            lambda: client.call(client.stub.SyncProfile, hello, timeout=5, acting=new_person()), tries=3000
        )
        yield process, client
    finally:
        await client.close()
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_process_killed_between_its_commit_and_the_push_leaves_nothing_unenforced(
    make_database: MakeDatabase,
    redis_url: str,
    amqp_url: str,
    key_folder: Path,
    messages: MessageService,
) -> None:
    database = await make_database()
    async with run_conversation_service(
        make_database, redis_url, amqp_url, key_folder, messages.target, database=database
    ) as service:
        rita, cora, conversation = await talking(service)
    heard = await told_at_last(redis_url, cora, 3)

    admin = await asyncpg.connect(database.admin_url)
    async with proxy_to(f"tcp://{messages.target}") as frozen:
        frozen.freeze()
        async with serving_process(
            await database.url("conversation_svc"), redis_url, amqp_url, key_folder, frozen
        ) as (process, client):
            block = asyncio.create_task(
                client.call(
                    client.stub.PutBlock,
                    rpc.PutBlockRequest(user_id=rita.user_id),
                    timeout=60,
                    acting=cora,
                )
            )
            await eventually(lambda: admin.fetchval("SELECT count(*) FROM conversation_svc.owed_events"))
            os.kill(process.pid, signal.SIGKILL)
            await unavailable(block)
    await admin.close()

    # Dead: rita can still write, nobody was told anything.
    assert (await messages.send(rita.user_id, conversation, "between")).HasField("stored")
    assert [entry.type for entry in (await told(redis_url, cora))[len(heard) :]] == ["message.created"]

    async with run_conversation_service(
        make_database, redis_url, amqp_url, key_folder, messages.target, database=database, **QUICK
    ) as service:
        await pushed(service, conversation)
        assert (await messages.send(rita.user_id, conversation, "late")).refused.reason == UNDELIVERABLE
        entries = await told_at_last(redis_url, cora, len(heard) + 3)
        assert [entry.type for entry in entries[len(heard) + 1 :]] == [
            "conversation.updated",
            "block.created",
        ]
        [seen] = await service.get(cora, conversation)
        assert seen.blocked_by_me
