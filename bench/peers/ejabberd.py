"""A private ejabberd that archives every message in a private Postgres before it delivers it."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from deploy.local.child import Child
from deploy.local.databases import ensure_database, with_parts
from deploy.local.errors import LocalError
from deploy.local.folders import Folder, make_secret
from deploy.local.packages import Need
from deploy.local.ports import LOOPBACK, free_port
from deploy.local.postgres import Postgres
from deploy.local.program import tcp_open, until

HOST = "localhost"
_SCHEMA = Path("/usr/share/ejabberd/sql/pg.sql")
_USER = "ejabberd"
_DATABASE = "ejabberd"
_POOL = 10
"""Connections to Postgres: ejabberd's own default."""


def _library() -> Path | None:
    return next(Path("/usr/lib").glob("*/ejabberd-*/ebin"), None)


def _schema() -> str:
    return _SCHEMA.read_text()


def _has_driver() -> bool:
    return any(Path("/usr/lib/erlang/lib").glob("p1_pgsql-*/ebin"))


NEEDS = (
    Need("ejabberd", lambda: _library() is not None and _SCHEMA.exists(), None),
    Need("erlang-p1-pgsql", _has_driver, None),
)


class Ejabberd:
    """One node with its files in `folder`, on ports of its own, and its Postgres. `stop` always."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._home = folder.data_home() / "ejabberd"
        self._log = folder.logs / "ejabberd.log"
        self._user = _USER if os.geteuid() == 0 else None
        self._postgres = Postgres(folder, make_secret(folder, "password"))
        self.port = free_port()
        self._children: list[Child] = []

    @property
    def admin_url(self) -> str:
        """Of its Postgres."""
        return self._postgres.url

    @property
    def database_url(self) -> str:
        """Where it archives."""
        return with_parts(self.admin_url, database=_DATABASE)

    def roots(self) -> dict[str, int]:
        """Its processes by name."""
        children = (*self._children, *self._postgres.children)
        return {
            "ejabberd" if child.name == "ejabberd" else f"its {child.name}": child.pid for child in children
        }

    async def start(self) -> None:
        """Returns once it listens. Raises LocalError with the end of its log when it does not."""
        library = _library()
        if library is None:
            raise LocalError("The ejabberd programs were not found.")
        await self._postgres.start()
        await ensure_database(self.admin_url, _DATABASE)
        await self._make_tables()
        self._write_settings()
        child = Child.spawn(
            "ejabberd",
            self._command(),
            log=self._log,
            env=self._environment(library.parents[1]),
            cwd=self._home,
            user=self._user,
            stop_signal=signal.SIGKILL,  # nothing of it is kept
            ledger=self._folder.ledger,
        )
        self._children.append(child)
        await until(tcp_open(LOOPBACK, self.port), child)

    async def stop(self) -> None:
        """Ends it, then its Postgres."""
        for child in (*reversed(self._children), *reversed(self._postgres.children)):
            await child.stop()

    async def _make_tables(self) -> None:
        conn = await asyncpg.connect(self.database_url)
        try:
            await conn.execute(_schema())
        finally:
            await conn.close()

    def _command(self) -> list[str | Path]:
        """As Debian's `ejabberdctl foreground` starts it, which would change the user and start an epmd."""
        database = self._home / "database"
        command: list[str | Path] = ["erl", "-sname", "chat-peer@localhost", "+K", "true", "+P", "250000"]
        command += ["-kernel", "inet_dist_use_interface", "{127,0,0,1}"]
        command += ["-erl_epmd_port", str(free_port()), "-start_epmd", "false"]
        command += ["-mnesia", "dir", f'"{database}"', "-s", "ejabberd", "-noinput"]
        return command

    def _environment(self, libraries: Path) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ERL_")}
        return {
            **inherited,
            "HOME": str(self._home),
            "LC_ALL": "C.UTF-8",
            "ERL_LIBS": str(libraries),
            "ERL_MAX_PORTS": "32000",
            "ERL_MAX_ETS_TABLES": "1400",
            "ERL_INETRC": "/etc/ejabberd/inetrc",
            "ERL_CRASH_DUMP": str(self._home / "crash.dump"),
            "EJABBERD_CONFIG_PATH": str(self._home / "ejabberd.yml"),
            "EJABBERD_LOG_PATH": str(self._home / "ejabberd.log"),
        }

    def _write_settings(self) -> None:
        self._home.mkdir()
        path = self._home / "ejabberd.yml"
        path.touch(mode=0o600)
        path.write_text(settings(self.port, self.database_url))
        if self._user is not None:
            for each in (self._home, path):
                shutil.chown(each, self._user, self._user)


def settings(port: int, database_url: str) -> str:
    """`ejabberd.yml`: anybody registers, every message is archived for both sides, nothing is slowed down."""
    database = urlsplit(database_url)
    return f"""\
hosts: [{HOST}]
loglevel: error
certfiles: []
sql_type: pgsql
sql_server: {database.hostname}
sql_port: {database.port}
sql_database: {database.path[1:]}
sql_username: {database.username}
sql_password: "{database.password}"
sql_pool_size: {_POOL}
default_db: sql
auth_method: [mnesia]
auth_password_format: plain
disable_sasl_mechanisms: [X-OAUTH2]
listen:
  - port: {port}
    ip: "{LOOPBACK}"
    module: ejabberd_c2s
    starttls: false
    shaper: none
    access: all
    max_stanza_size: 262144
access_rules: {{register: {{allow: all}}}}
modules:
  mod_register: {{ip_access: all, access: register}}
  mod_mam: {{default: always, request_activates_archiving: false, assume_mam_usage: true}}
  mod_stream_mgmt: {{}}
registration_timeout: infinity
"""
