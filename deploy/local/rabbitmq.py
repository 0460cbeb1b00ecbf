"""A private RabbitMQ, with an Erlang port mapper (epmd) of its own."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
from pathlib import Path

from deploy.local.child import POLL_SECONDS, Child
from deploy.local.errors import LocalError
from deploy.local.folders import Folder
from deploy.local.packages import Need
from deploy.local.ports import LOOPBACK, free_port

OLDEST = (3, 10)  # quorum queues that dead-letter at least once
_USER = "chat"
_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"


def server_script() -> Path | None:
    """The server's own script: the wrapper in PATH would switch to the system's user and files."""
    found = Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server")
    return max(found, key=_version, default=None)


def check_version(script: Path) -> None:
    """Raises LocalError when the server that `server_script` found is too old."""
    if _version(script) < OLDEST:
        raise LocalError(
            f"{script.parents[1].name} is too old: the chat needs RabbitMQ 3.10 or newer; "
            "install that, or let AMQP_URL name a server."
        )


def _version(script: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", script.parents[1].name))


NEED = Need("rabbitmq-server", lambda: server_script() is not None, "AMQP_URL")


class RabbitMQ:
    """One broker with its files in `folder`, on ports of its own; `url` is an administrator's."""

    name = "RabbitMQ"

    def __init__(self, folder: Folder, password: str):
        self._folder = folder
        self._password = password
        self._home = folder.data_home() / "rabbitmq"
        self._log = folder.logs / "rabbitmq.log"
        self.port = free_port()
        self.children: list[Child] = []

    @property
    def url(self) -> str:
        return f"amqp://{_USER}:{self._password}@{LOOPBACK}:{self.port}/"

    async def start(self) -> None:
        """Returns once it answers. Raises LocalError with the end of its log when it does not."""
        script = server_script()
        epmd = shutil.which("epmd")
        if script is None or epmd is None:
            raise LocalError("The RabbitMQ server programs were not found.")
        check_version(script)
        self._home.mkdir(exist_ok=True)
        epmd_port = free_port()
        environment = self._environment(epmd_port)
        argv: list[str | Path] = [epmd, "-port", str(epmd_port), "-address", LOOPBACK]
        mapper = Child.spawn("epmd", argv, log=self._log, env=environment, ledger=self._folder.ledger)
        self.children.append(mapper)
        while not await _epmd_answers(epmd_port):
            if mapper.exit_code() is not None:
                raise LocalError(f"epmd did not start; the end of {self._log}:\n{mapper.tail()}")
            await asyncio.sleep(POLL_SECONDS)
        server = Child.spawn(
            "rabbitmq",
            [script],
            log=self._log,
            env=environment,
            # While it boots any milder signal is lost on it; its files are made to survive this one.
            stop_signal=signal.SIGKILL,
            ledger=self._folder.ledger,
        )
        self.children.append(server)
        while not await _broker_answers(self.port):
            if server.exit_code() is not None:
                raise LocalError(f"RabbitMQ did not start; the end of {self._log}:\n{server.tail()}")
            await asyncio.sleep(POLL_SECONDS)
        if self._folder.durable:
            server.stop_signal = signal.SIGTERM

    def _environment(self, epmd_port: int) -> dict[str, str]:
        home = self._home
        settings = home / "rabbitmq.conf"
        settings.touch(mode=0o600)
        settings.write_text(
            f"default_user = {_USER}\ndefault_pass = {self._password}\ndisk_free_limit.absolute = 50MB\n"
        )
        (home / "advanced.config").write_text("[].\n")
        (home / "enabled_plugins").write_text("[].\n")
        (home / "env.conf").write_text("")
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))
        }
        return {
            **inherited,
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "ERL_EPMD_PORT": str(epmd_port),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_AFLAGS": "-start_epmd false",  # ours runs; one started by the broker would be a daemon
            # With these two the script becomes the broker instead of waiting for it: one process, one pid.
            "RABBITMQ_ALLOW_INPUT": "true",
            "RABBITMQ_SERVER_START_ARGS": "-noinput",
            "RABBITMQ_NODENAME": "chat@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_PID_FILE": str(home / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(settings),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(home / "env.conf"),
            "RABBITMQ_FEATURE_FLAGS_FILE": str(home / "feature_flags"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none "
            "-kernel inet_dist_use_interface {127,0,0,1}",
        }


async def _broker_answers(port: int) -> bool:
    """Whether the broker greets: it opens its listener last, so then everything else is up."""
    greeting = await _exchange(port, _PROTOCOL_HEADER)
    return greeting[:1] == b"\x01"


async def _epmd_answers(port: int) -> bool:
    return await _exchange(port, b"\x00\x01n") != b""  # NAMES_REQ


async def _exchange(port: int, request: bytes) -> bytes:
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(request)
                return await reader.read(1)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return b""
