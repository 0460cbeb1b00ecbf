"""Real backing services for tests: the environment's, else private ones started once a session."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from deploy.local import databases
from deploy.local.backing import Backing
from deploy.local.folders import open_temporary

_DROPPED_AT_ONCE = 16


@dataclass
class TestDatabase:
    """A database of one test or module; dropped when the session ends."""

    __test__ = False

    name: str
    admin_url: str
    """The administrator's URL of this database: for looking at any schema, not for running a service."""
    services: dict[str, str] = field(default_factory=dict)

    async def url(self, service: str) -> str:
        """The URL of the service's own role; the first call makes it, and the schema of that name."""
        if service not in self.services:
            self.services[service] = await databases.ensure_service(
                self.admin_url, service, role=self.role(service), password=secrets.token_hex(8)
            )
        return self.services[service]

    def role(self, service: str) -> str:
        return f"{self.name}_{service}"


MakeDatabase = Callable[[], Awaitable[TestDatabase]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def backing_urls(request: pytest.FixtureRequest) -> AsyncIterator[dict[str, str]]:
    """DATABASE_URL, REDIS_URL and AMQP_URL of this session."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{text}", file=sys.stderr, flush=True)

    folder = open_temporary()
    backing = Backing(folder, say=say)
    try:
        yield await backing.start()
    finally:
        await backing.stop()
        folder.close()


@pytest.fixture(scope="session")
def postgres_url(backing_urls: dict[str, str]) -> str:
    """The administrator's URL of the Postgres server."""
    return backing_urls["DATABASE_URL"]


@pytest.fixture(scope="session")
def redis_url(backing_urls: dict[str, str]) -> str:
    """A Redis shared by the session: keep tests apart by their user and conversation ids."""
    return backing_urls["REDIS_URL"]


@pytest.fixture(scope="session")
def amqp_url(backing_urls: dict[str, str]) -> str:
    """A RabbitMQ shared by the session: bind a queue of your own to its exchanges."""
    return backing_urls["AMQP_URL"]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def make_database(postgres_url: str) -> AsyncIterator[MakeDatabase]:
    """`await make_database()` makes one; `await database.url("message_svc")` is a service's URL."""
    made: list[TestDatabase] = []

    async def make() -> TestDatabase:
        name = f"test_{secrets.token_hex(6)}"
        database = TestDatabase(name, await databases.ensure_database(postgres_url, name))
        made.append(database)
        return database

    yield make
    gate = asyncio.Semaphore(_DROPPED_AT_ONCE)

    async def drop(database: TestDatabase) -> None:
        roles = [database.role(service) for service in database.services]
        async with gate:
            await databases.drop_database(postgres_url, database.name, roles)

    # Each waits for a checkpoint, and those that wait share one.
    await asyncio.gather(*map(drop, made))
