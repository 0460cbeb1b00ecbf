"""The whole product for tests: every process, on the session's backing services."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest_asyncio
from aiohttp import ClientSession

from deploy.local.folders import open_temporary
from deploy.local.system import SERVICES, Parts, System
from tests.support.backing import MakeDatabase
from tests.support.people import Person, Town, new_message
from tests.support.waiting import eventually


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def system(make_database: MakeDatabase, redis_url: str, amqp_url: str) -> AsyncIterator[System]:
    """One running system of two edges for the session, with data of its own: keep tests apart by their users.

    A test that kills or stops a process starts it again (`await bring_back(system, name)`) before it ends.
    """
    database = await make_database()
    databases = {service: await database.url(service) for service in SERVICES}
    folder = open_temporary()
    # What is told of somebody is what they did just now, and nothing else.
    presence = {
        "PRESENCE_LINGER_SECONDS": "0",
        "PRESENCE_SETTLE_SECONDS": "0",
        "PRESENCE_TELL_SECONDS": "3600",
    }
    overrides = {"presence_svc": presence}
    running = System(folder, Parts(databases, redis_url=redis_url, amqp_url=amqp_url, overrides=overrides))
    try:
        await running.start()
        await running.add_edge()
        yield running
    finally:
        await running.stop()
        folder.close()


async def bring_back(system: System, name: str) -> None:
    """Starts a process again; returns when every edge serves, too.

    A process that serves may be unreachable for another second: its callers try again at intervals.
    """
    await system.restart(name)
    await serves_again(system)


async def serves_again(system: System) -> None:
    """Returns when every edge serves, after one of their services was away."""
    async with ClientSession() as http:
        town = Town(http, [edge.url for edge in system.edges], system.issuer_url)
        for edge_url in town.edge_urls:
            ada, bob = [await _newcomer(town, edge_url) for _ in range(2)]
            message = new_message("hello")

            async def start(ada: Person = ada, bob: Person = bob, message: object = message) -> int:
                return (await ada.start(bob, message=message)).status  # through both services

            async def look(ada: Person = ada, bob: Person = bob) -> int:
                return (await ada.request("GET", "/presence", query=f"?userIds={bob.user_id}")).status

            await eventually(start, until=lambda status: status in (200, 201))
            await eventually(look, until=lambda status: status == 200)  # presence_svc calls on its own


async def _newcomer(town: Town, edge_url: str) -> Person:
    """As `town.person`, at that edge, once that can be."""
    user_id = f"newcomer-{uuid.uuid4().hex[:12]}"
    person = town.visitor(user_id, await town.token(user_id)).at(edge_url)

    async def come() -> int:
        return (await person.request("GET", "/me")).status

    await eventually(come, until=lambda status: status == 200)
    return person
