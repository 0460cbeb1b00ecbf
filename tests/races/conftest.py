"""Services for races: in this process, so that a broken build is a patch away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.backing import MakeDatabase
from tests.support.conversation_svc import ConversationService, run_conversation_service
from tests.support.message_svc import MessageService, run_message_service, run_replica


@pytest.fixture(scope="package")
def key_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def messages(
    make_database: MakeDatabase, redis_url: str, amqp_url: str, key_folder: Path
) -> AsyncIterator[MessageService]:
    # A thousand sends at once are the test here, not the overload that they would be by default. And however
    # many gates turn out to have changed, sends go on by what is remembered of them, soon after a repeat too.
    async with run_message_service(
        make_database,
        redis_url,
        amqp_url,
        key_folder,
        grpc_max_concurrent=2000,
        send_locked_seconds=0,
        send_repeats_seconds=0.05,
    ) as running:
        yield running


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def replica(messages: MessageService) -> AsyncIterator[MessageService]:
    """Another message_svc on the same tables."""
    async with run_replica(messages) as running:
        yield running


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def conversations(
    make_database: MakeDatabase, redis_url: str, amqp_url: str, key_folder: Path, messages: MessageService
) -> AsyncIterator[ConversationService]:
    async with run_conversation_service(
        make_database, redis_url, amqp_url, key_folder, messages.target
    ) as running:
        yield running
