"""A private Postgres."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import asyncpg

from deploy.local.child import POLL_SECONDS, Child
from deploy.local.errors import LocalError
from deploy.local.folders import Folder
from deploy.local.packages import Need
from deploy.local.ports import LOOPBACK, free_port

OLDEST = 14
_DEBIAN_HOME = Path("/usr/lib/postgresql")
_SUPERUSER = "chat_admin"
_SETTINGS = {"max_connections": "200", "shared_buffers": "128MB", "unix_socket_directories": ""}
# Nothing is flushed to the disk: a killed server still recovers from its WAL; a crash of the machine loses.
# Said as ALTER SYSTEM says it, which may then say otherwise while the server runs.
_THROWN_AWAY = "fsync = off\nfull_page_writes = off\n"


def programs() -> Path | None:
    """The folder of the newest Postgres server programs on this machine."""
    versions = [path for path in _DEBIAN_HOME.glob("*/bin") if (path / "initdb").exists()]
    if versions:
        return max(versions, key=lambda path: float(path.parent.name))
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


NEED = Need("postgresql", lambda: programs() is not None, "DATABASE_URL")


def check_version(printed: str) -> int:
    """The major version that `postgres --version` printed. Raises LocalError when it is too old."""
    match = re.search(r"\d+", printed)
    if match is None or int(match.group()) < OLDEST:
        raise LocalError(
            f"{printed.strip()} is too old: the chat needs PostgreSQL {OLDEST} or newer; "
            "install that, or let DATABASE_URL name a server."
        )
    return int(match.group())


class Postgres:
    """One cluster in `folder`, made when absent, on a port of its own; `url` is the superuser's."""

    name = "Postgres"

    def __init__(self, folder: Folder, password: str):
        self._folder = folder
        self._password = password
        self._home = folder.data_home() / "postgres"
        self._log = folder.logs / "postgres.log"
        self._user = "postgres" if os.geteuid() == 0 else None
        self.port = free_port()
        self.children: list[Child] = []

    @property
    def url(self) -> str:
        return f"postgresql://{_SUPERUSER}:{self._password}@{LOOPBACK}:{self.port}/postgres"

    async def start(self) -> None:
        """Returns once it answers. Raises LocalError with the end of its log when it does not."""
        bin_dir = programs()
        if bin_dir is None:
            raise LocalError("The Postgres server programs were not found.")
        version = subprocess.run(  # noqa: S603, ASYNC221 - prints and ends at once
            [bin_dir / "postgres", "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
        major = check_version(version.stdout)
        data = self._home / "data"
        if not (data / "PG_VERSION").exists():
            await self._make_cluster(bin_dir, data)
        self._check_data(data, major)
        (data / "postmaster.pid").unlink(missing_ok=True)  # the folder's lock says nobody else runs here
        options = [f"-c{name}={value}" for name, value in _SETTINGS.items()]
        argv: list[str | Path] = [
            bin_dir / "postgres",
            "-D",
            data,
            "-h",
            LOOPBACK,
            "-p",
            str(self.port),
            *options,
        ]
        server = self._spawn("postgres", argv, signal.SIGINT)  # fast: does not wait for clients to leave
        while not await self._answers():
            if server.exit_code() is not None:
                raise LocalError(f"Postgres did not start; the end of {self._log}:\n{server.tail()}")
            await asyncio.sleep(POLL_SECONDS)

    async def _make_cluster(self, bin_dir: Path, data: Path) -> None:
        """Runs initdb into a folder beside and renames it: an interrupted one is no cluster."""
        unfinished = self._home / "unfinished"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        self._home.mkdir(exist_ok=True)
        secret = self._home / "initial-password"
        secret.touch(mode=0o600)
        secret.write_text(self._password)
        if self._user is not None:
            for path in (self._home, secret):
                shutil.chown(path, self._user, self._user)
        argv: list[str | Path] = [bin_dir / "initdb", "-D", unfinished, "-U", _SUPERUSER]
        argv += [f"--pwfile={secret}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"]
        if not self._folder.durable:
            argv.append("--no-sync")
        initdb = self._spawn("initdb", argv, signal.SIGTERM)
        code = await initdb.wait()
        self.children.remove(initdb)
        initdb.kill()
        if code != 0:
            raise LocalError(
                f"Postgres could not make its data folder; the end of {self._log}:\n{initdb.tail()}"
            )
        secret.unlink()
        if not self._folder.durable:
            (unfinished / "postgresql.auto.conf").write_text(_THROWN_AWAY)
        unfinished.rename(data)

    def _check_data(self, data: Path, major: int) -> None:
        made_by = int((data / "PG_VERSION").read_text())
        if made_by != major:
            raise LocalError(
                f"The data in {data} was made by PostgreSQL {made_by}, and here is {major}: "
                "remove the folder (`make clean` does) to begin anew."
            )

    def _spawn(self, name: str, argv: list[str | Path], stop_signal: signal.Signals) -> Child:
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        for inherited in ("PGDATA", "PGPORT", "PGHOST", "PGUSER", "PGOPTIONS"):
            environment.pop(inherited, None)
        child = Child.spawn(
            name,
            argv,
            log=self._log,
            env=environment,
            cwd=self._home,  # one that its user may enter
            user=self._user,
            stop_signal=stop_signal,
            ledger=self._folder.ledger,
        )
        self.children.append(child)
        return child

    async def _answers(self) -> bool:
        try:
            connection = await asyncpg.connect(self.url, timeout=5)
        except (OSError, asyncpg.PostgresError, TimeoutError):
            return False
        await connection.close()
        return True
