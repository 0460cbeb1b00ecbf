"""A private Redis."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess

from redis.asyncio import Redis as Client
from redis.exceptions import RedisError

from deploy.local.child import POLL_SECONDS, Child
from deploy.local.errors import LocalError
from deploy.local.folders import Folder
from deploy.local.packages import Need
from deploy.local.ports import LOOPBACK, free_port

OLDEST = (6, 2)  # streams trimmed by age

NEED = Need("redis-server", lambda: shutil.which("redis-server") is not None, "REDIS_URL")


def check_version(printed: str) -> None:
    """Raises LocalError when `redis-server --version` printed one that is too old."""
    match = re.search(r"v=(\d+)\.(\d+)", printed)
    if match is None or (int(match[1]), int(match[2])) < OLDEST:
        raise LocalError(
            f"redis-server is too old ({printed.strip()}): the chat needs 6.2 or newer; "
            "install that, or let REDIS_URL name a server."
        )


class Redis:
    """One server with its files in `folder`, on a port of its own."""

    name = "Redis"

    def __init__(self, folder: Folder, password: str):
        self._folder = folder
        self._password = password
        self._home = folder.data_home() / "redis"
        self._log = folder.logs / "redis.log"
        self.port = free_port()
        self.children: list[Child] = []

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/0"

    async def start(self) -> None:
        """Returns once it answers. Raises LocalError with the end of its log when it does not."""
        version = subprocess.run(  # noqa: ASYNC221 - prints and ends at once
            ["redis-server", "--version"],  # noqa: S607 - where PATH says
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
        check_version(version.stdout)
        self._home.mkdir(exist_ok=True)
        settings = self._home / "redis.conf"
        settings.touch(mode=0o600)
        settings.write_text(self._settings())
        server = Child.spawn("redis", ["redis-server", settings], log=self._log, ledger=self._folder.ledger)
        self.children.append(server)
        while not await self._answers():
            if server.exit_code() is not None:
                raise LocalError(f"Redis did not start; the end of {self._log}:\n{server.tail()}")
            await asyncio.sleep(POLL_SECONDS)

    def _settings(self) -> str:
        lines = [
            f"bind {LOOPBACK}",
            f"port {self.port}",
            f'dir "{self._home}"',
            f"requirepass {self._password}",
            "daemonize no",
            "maxmemory-policy noeviction",
            'save ""',
            f"appendonly {'yes' if self._folder.durable else 'no'}",
            "appendfsync everysec",
        ]
        return "\n".join(lines) + "\n"

    async def _answers(self) -> bool:
        client = Client.from_url(self.url, socket_timeout=5, socket_connect_timeout=5)
        try:
            await client.ping()
        except (RedisError, OSError):
            return False
        finally:
            await client.aclose()
        return True
