"""Two replicas of presence_svc on a Redis of their own, and a real conversation_svc that they ask."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
import redis.asyncio as redis

from deploy.local.folders import open_temporary
from deploy.local.redis import Redis as RedisServer
from tests.support.backing import MakeDatabase
from tests.support.conversation_svc import ConversationService, run_conversation_service
from tests.support.message_svc import MessageService, run_message_service
from tests.support.presence_svc import PresenceService, run_presence_service

TTL_S = 1.0
"""Of the replicas that are quick to take somebody for gone."""


@pytest.fixture(scope="package")
def key_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def messages(
    make_database: MakeDatabase, redis_url: str, amqp_url: str, key_folder: Path
) -> AsyncIterator[MessageService]:
    async with run_message_service(
        make_database, redis_url, amqp_url, key_folder, grpc_drain_seconds=1.0
    ) as running:
        yield running


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def conversations(
    make_database: MakeDatabase, redis_url: str, amqp_url: str, key_folder: Path, messages: MessageService
) -> AsyncIterator[ConversationService]:
    async with run_conversation_service(
        make_database, redis_url, amqp_url, key_folder, messages.target
    ) as running:
        yield running


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def redis_server() -> AsyncIterator[RedisServer]:
    """A Redis to flush and to stop, of these tests alone."""
    folder = open_temporary()
    server = RedisServer(folder, secrets.token_hex(8))
    await server.start()
    yield server
    for child in server.children:
        await child.stop()
    folder.close()


@pytest_asyncio.fixture
async def redis_client(redis_server: RedisServer) -> AsyncIterator[redis.Redis]:
    client = redis.Redis.from_url(redis_server.url)
    yield client
    await client.aclose()


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def service(
    make_database: MakeDatabase,
    redis_server: RedisServer,
    key_folder: Path,
    conversations: ConversationService,
) -> AsyncIterator[PresenceService]:
    """With the times that are the defaults."""
    async with run_presence_service(
        make_database, redis_server.url, key_folder, conversations.target
    ) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def replicas(
    make_database: MakeDatabase,
    redis_server: RedisServer,
    key_folder: Path,
    conversations: ConversationService,
) -> AsyncIterator[tuple[PresenceService, PresenceService]]:
    """Two that take a silent connection for gone after TTL_S, on databases of their own."""
    database = await make_database()
    async with AsyncExitStack() as stack:
        one, other = [
            await stack.enter_async_context(
                run_presence_service(
                    make_database,
                    f"{redis_server.url.removesuffix('/0')}/1",
                    key_folder,
                    conversations.target,
                    database=database,
                    presence_ttl_seconds=TTL_S,
                    presence_sweep_seconds=0.05,
                    last_seen_flush_seconds=0.05,
                )
            )
            for _ in range(2)
        ]
        yield one, other
