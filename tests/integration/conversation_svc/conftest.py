"""conversation_svc on a real message_svc, for the module; tests keep apart by fresh people."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.backing import MakeDatabase
from tests.support.conversation_svc import ConversationService, run_conversation_service
from tests.support.message_svc import MessageService, run_message_service


@pytest.fixture(scope="package")
def key_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def messages(
    make_database: MakeDatabase, redis_url: str, amqp_url: str, key_folder: Path
) -> AsyncIterator[MessageService]:
    async with run_message_service(make_database, redis_url, amqp_url, key_folder) as running:
        yield running


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def service(
    make_database: MakeDatabase, redis_url: str, amqp_url: str, key_folder: Path, messages: MessageService
) -> AsyncIterator[ConversationService]:
    async with run_conversation_service(
        make_database,
        redis_url,
        amqp_url,
        key_folder,
        messages.target,
        context_allowed_origins=("https://jobs.example.com",),
    ) as running:
        yield running
