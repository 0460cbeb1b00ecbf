"""A running system with two edges on servers of its own, all of whose processes may be killed."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from deploy.local.backing import Backing
from deploy.local.databases import ensure_database, ensure_service
from deploy.local.folders import open_temporary
from deploy.local.packages import Say
from deploy.local.system import SERVICES, Parts, System, make_secret
from tests.ledger.bus import Listener


@dataclass
class World:
    """What faults are done to."""

    folder: Path
    system: System
    backing: Backing
    admin_url: str
    redis_url: str
    bus: Listener

    @property
    def edges(self) -> list[str]:
        return [edge.url for edge in self.system.edges]

    async def execute(self, *statements: str) -> None:
        """SQL as the administrator, each statement on its own."""
        conn = await asyncpg.connect(self.admin_url)
        try:
            for statement in statements:
                await conn.execute(statement)
        finally:
            await conn.close()


_UNLIMITED = {f"RATE_{kind}": "off" for kind in ("SEND", "START", "READ", "OTHER", "CONNECT", "FRAMES")}


@asynccontextmanager
async def running(say: Say) -> AsyncIterator[World]:
    """Starts everything and ends it, whatever was killed meanwhile."""
    folder = open_temporary()
    backing = Backing(folder, say=say, environ={})
    system: System | None = None
    try:
        urls = await backing.start()
        admin_url = await ensure_database(urls["DATABASE_URL"], "chat")
        databases = {
            service: await ensure_service(
                admin_url, service, role=service, password=make_secret(folder, f"{service}-password")
            )
            for service in SERVICES
        }
        # People of a ledger do in a second what others do in a minute.
        given = dict.fromkeys(("edge_gateway", "edge_gateway_2"), _UNLIMITED)
        parts = Parts(databases, urls["REDIS_URL"], urls["AMQP_URL"], given)
        system = System(folder, parts)
        await system.start()
        await system.add_edge()
        bus = Listener(urls["AMQP_URL"])
        await bus.begin()
        yield World(folder.path, system, backing, admin_url, urls["REDIS_URL"], bus)
    finally:
        if system is not None:
            await system.stop()
        await backing.stop()
        folder.close()


def any_edge(world: World, chance: random.Random) -> str:
    """The program name of one of the edges."""
    return chance.choice(world.system.edges).program.name
