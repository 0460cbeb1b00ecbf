"""A running system with two edges on servers of its own, all of whose processes may be killed."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from deploy.local.backing import Backing
from deploy.local.databases import ensure_database, ensure_services
from deploy.local.folders import open_temporary
from deploy.local.packages import Say
from deploy.local.system import SERVICES, Parts, System
from tests.ledger.bus import Listener
from tests.ledger.jobs import NOTES


@dataclass
class World:
    """What faults are done to."""

    folder: Path
    system: System
    backing: Backing
    admin_url: str
    redis_url: str
    bus: Listener
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def edges(self) -> list[str]:
        return [edge.url for edge in self.system.edges]

    def new_name(self, about: str) -> str:
        """The name of a round, and so of its people: no other round has them."""
        return f"{about}{next(self._numbers)}"

    def journal(self, name: str) -> Path:
        """What the client of the round of that name writes."""
        return self.folder / f"{name}.jsonl"

    async def mend(self) -> None:
        """Starts what is not running, after a round that ended half-way."""
        for name in ("Postgres", "Redis", "RabbitMQ"):
            if not self.backing.runs(name):
                await self.backing.restart(name)
        for name, program in self.system.programs.items():
            if program.running.exit_code() is not None:
                await self.system.restart(name)

    async def fetch_value(self, query: str, *arguments: object) -> Any:
        """The one value of a query, as the administrator."""
        conn = await asyncpg.connect(self.admin_url)
        try:
            return await conn.fetchval(query, *arguments)
        finally:
            await conn.close()

    async def execute(self, *statements: str) -> None:
        """SQL as the administrator, each statement on its own."""
        conn = await asyncpg.connect(self.admin_url)
        try:
            for statement in statements:
                await conn.execute(statement)
        finally:
            await conn.close()


# Who leaves a message unread gets a mail about it soon, and one sees of which conversation.
_MAILED = {
    "UNREAD_MAIL_DELAY_SECONDS": "1",
    "MAIL_POLL_SECONDS": "0.5",
    "MAIL_RETRY_SECONDS": "1",
    "PUBLIC_URL": "http://127.0.0.1/{conversationId}",
}
# What one event stands for is over about as soon.
_TOLD = {"WRITTEN_WINDOW_SECONDS": "0.5"}
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
        databases = await ensure_services(admin_url, folder, SERVICES)
        # People of a ledger do in a second what others do in a minute.
        given = dict.fromkeys(("edge_gateway", "edge_gateway_2"), _UNLIMITED)
        given["conversation_svc_worker"] = _MAILED
        given["message_svc"] = _TOLD
        parts = Parts(databases, urls["REDIS_URL"], urls["AMQP_URL"], given)
        system = System(folder, parts)
        await system.start()
        await system.add_edge()
        bus = Listener(urls["AMQP_URL"])
        await bus.begin()
        world = World(folder.path, system, backing, admin_url, urls["REDIS_URL"], bus)
        await world.execute(*NOTES)
        yield world
    finally:
        if system is not None:
            await system.stop()
        await backing.stop()
        folder.close()


def any_edge(world: World, chance: random.Random) -> str:
    """The program name of one of the edges."""
    return chance.choice(world.system.edges).program.name
