"""Postgres, Redis and RabbitMQ of our own, for those that the environment does not name."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping

from deploy.local import packages, postgres, rabbitmq, redis
from deploy.local.child import Child
from deploy.local.errors import LocalError, together
from deploy.local.folders import Folder, make_secret
from deploy.local.packages import Need, Say

# Far above what a loaded machine takes (RabbitMQ: 4-8 s on two free cores).
START_SECONDS = 180.0

_Server = postgres.Postgres | redis.Redis | rabbitmq.RabbitMQ
_KINDS: dict[str, tuple[Need, type[_Server]]] = {
    "DATABASE_URL": (postgres.NEED, postgres.Postgres),
    "REDIS_URL": (redis.NEED, redis.Redis),
    "AMQP_URL": (rabbitmq.NEED, rabbitmq.RabbitMQ),
}


def needs(environ: Mapping[str, str]) -> list[Need]:
    """The packages of the servers that `environ` does not name."""
    return [need for name, (need, _) in _KINDS.items() if not environ.get(name)]


class Backing:
    """The backing services of one run. `start` once, `stop` always, also after a start that failed.

    All processes are spawned by the loop's own thread, so `stop` finds everything that has begun.
    """

    def __init__(self, folder: Folder, *, say: Say, environ: Mapping[str, str] = os.environ):
        self._folder = folder
        self._say = say
        self._environ = environ
        self._servers: list[_Server] = []

    @property
    def children(self) -> list[Child]:
        return [child for server in self._servers for child in server.children]

    async def start(self) -> dict[str, str]:
        """Returns DATABASE_URL, REDIS_URL and AMQP_URL, each the environment's or a private server's.

        Raises LocalError, one sentence, when a server cannot be had.
        """
        urls = {name: self._environ[name] for name in _KINDS if self._environ.get(name)}
        wanted = [name for name in _KINDS if name not in urls]
        if not wanted:
            return urls
        await packages.ensure(needs(self._environ), say=self._say)
        password = make_secret(self._folder, "password")  # of all three
        began = time.monotonic()
        for name in wanted:
            server = _KINDS[name][1](self._folder, password)
            self._servers.append(server)
            urls[name] = server.url
        try:
            async with asyncio.timeout(START_SECONDS):
                await together(*(server.start() for server in self._servers))
        except TimeoutError:
            raise LocalError(
                f"The backing servers were not ready in {START_SECONDS:.0f} s; logs in {self._folder.logs}."
            ) from None
        names = ", ".join(server.name for server in self._servers)
        self._say(f"{names} ready after {time.monotonic() - began:.1f} s")
        return urls

    def kill(self, name: str) -> None:
        """Ends one of our servers ("Postgres", "Redis" or "RabbitMQ") at once, by SIGKILL."""
        server = self._server(name)
        for child in server.children:
            child.crash()
        server.children.clear()

    def runs(self, name: str) -> bool:
        """Whether one of our servers runs."""
        children = self._server(name).children
        return bool(children) and all(child.exit_code() is None for child in children)

    async def restart(self, name: str) -> None:
        """Starts a killed server again, on its port and its files; returns once it answers."""
        async with asyncio.timeout(START_SECONDS):
            await self._server(name).start()

    def _server(self, name: str) -> _Server:
        for server in self._servers:
            if server.name == name:
                return server
        raise LocalError(f"{name} is not a server of ours: the environment names it.")

    async def stop(self) -> None:
        """Ends all that was started, servers at once, of each the process last started first.

        A start or restart still under way begins no other.
        """
        self._folder.ledger.closed = True

        async def stop_in_order(server: _Server) -> None:
            for child in reversed(server.children):
                await child.stop()

        await asyncio.gather(*(stop_in_order(server) for server in self._servers))
