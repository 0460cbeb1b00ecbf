"""conversation_svc on a real message_svc, for the module; tests keep apart by fresh people."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.backing import MakeDatabase
from tests.support.conversation_svc import ConversationService, run_conversation_service
from tests.support.mail import Catcher, MailRoom, catching, mail_room
from tests.support.message_svc import MessageService, run_message_service
from tests.support.proxy import Proxy, proxy_to
from tests.support.pushes import QUICK


@pytest.fixture(scope="package")
def key_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def messages(
    make_database: MakeDatabase, redis_url: str, amqp_url: str, key_folder: Path
) -> AsyncIterator[MessageService]:
    # So short that what it covers without a word of each message is soon over.
    async with run_message_service(
        make_database, redis_url, amqp_url, key_folder, written_window_seconds=0.2
    ) as running:
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


@pytest.fixture
def catcher() -> Iterator[Catcher]:
    with catching() as running:
        yield running


@pytest_asyncio.fixture
async def room(
    service: ConversationService,
    messages: MessageService,
    amqp_url: str,
    key_folder: Path,
    catcher: Catcher,
) -> AsyncIterator[MailRoom]:
    async with mail_room(service, amqp_url, key_folder, messages.target, catcher.url) as opened:
        yield opened
