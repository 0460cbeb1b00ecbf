"""One message_svc for all modules, and one for each way of a send; tests keep apart by fresh people and
conversations.
"""

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


@pytest_asyncio.fixture(
    scope="package",
    loop_scope="session",
    params=[{"send_gates_remembered": 0}, {"remembers": True, "send_locked_seconds": 0}],
    ids=["locked", "remembered"],
)
async def either_way(
    request: pytest.FixtureRequest,
    make_database: MakeDatabase,
    redis_url: str,
    amqp_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[MessageService]:
    """Sends lock their gates first, or write by what is remembered of them, however often it is wrong."""
    keys = tmp_path_factory.mktemp("keys")
    async with run_message_service(make_database, redis_url, amqp_url, keys, **request.param) as running:
        yield running
