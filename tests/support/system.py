"""The whole product for tests: every process, on the session's backing services."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from deploy.local.folders import open_temporary
from deploy.local.system import SERVICES, Parts, System
from tests.support.backing import MakeDatabase


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def system(make_database: MakeDatabase, redis_url: str, amqp_url: str) -> AsyncIterator[System]:
    """One running system for the session, with data of its own: keep tests apart by their users.

    A test that kills or stops a process starts it again (`await system.restart(name)`) before it ends.
    """
    database = await make_database()
    databases = {service: await database.url(service) for service in SERVICES}
    folder = open_temporary()
    running = System(folder, Parts(databases, redis_url=redis_url, amqp_url=amqp_url))
    try:
        await running.start()
        yield running
    finally:
        await running.stop()
        folder.close()
