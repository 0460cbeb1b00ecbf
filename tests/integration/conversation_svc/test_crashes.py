"""This process killed between its commit and the push."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
from splits.chat.conversation.v1 import service_pb2 as rpc
from splits.chat.conversation.v1 import service_pb2_grpc

from deploy.local.ports import free_port
from servicekit.grpc_client import ServiceClient
from servicekit.identity import Signer
from tests.support.backing import MakeDatabase
from tests.support.conversation_svc import (
    new_person,
    run_conversation_service,
    told_at_last,
)
from tests.support.message_svc import MessageService
from tests.support.proxy import Proxy, proxy_to
from tests.support.pushes import QUICK, UNDELIVERABLE, pushed, talking, unavailable
from tests.support.races import at_last
from tests.support.waiting import eventually

if TYPE_CHECKING:  # the stubs alone know the asynchronous flavour
    Stub: TypeAlias = service_pb2_grpc.ConversationServiceAsyncStub


@asynccontextmanager
async def serving_process(
    database_url: str, redis_url: str, amqp_url: str, keys: Path, peer: Proxy
) -> AsyncIterator[tuple[asyncio.subprocess.Process, ServiceClient[Stub]]]:
    """`python -m conversation_svc serve`, and a client of the edge."""
    port = free_port()
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
    entries = await told_at_last(redis_url, cora, len(heard) + 1)
    assert [entry.type for entry in entries[len(heard) :]] == ["message.created"]

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
