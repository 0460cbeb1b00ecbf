"""One message_svc for the module; tests keep apart by fresh people and conversations."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.backing import MakeDatabase
from tests.support.message_svc import MessageService, run_message_service


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def service(
    make_database: MakeDatabase,
    redis_url: str,
    amqp_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[MessageService]:
    keys = tmp_path_factory.mktemp("keys")
    async with run_message_service(make_database, redis_url, amqp_url, keys) as running:
        yield running
