"""Numbered SQL migrations: `0001_first.sql`, each applied once, in order, in its own transaction.

What has run is kept in `<schema>.schema_migrations` with the file's checksum. A file that changed or
vanished after it ran is refused. A version newer than every file is fine: a newer release migrated
first, and this one must keep running.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import structlog

from servicekit.db import check_schema_name, reaching_postgres
from servicekit.runner import StartError

_FILE = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")
_OLDEST_POSTGRES = 14
_MOST_DEADLOCKS = 5
log = structlog.get_logger(__name__)


class MigrationError(StartError):
    """The schema could not be brought up to date. The text is one sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    version: int
    name: str
    sql: str
    checksum: str


def read_migrations(directory: Path) -> list[Migration]:
    """The directory's migrations in order. MigrationError on a stray name or a number used twice."""
    found: dict[int, Migration] = {}
    for path in sorted(directory.glob("*.sql")):
        match = _FILE.match(path.name)
        if not match:
            raise MigrationError(f"{path.name} is not named like 0001_what_it_does.sql.")
        version = int(match.group(1))
        if version in found:
            raise MigrationError(f"{path.name} and {found[version].name} have the same number.")
        content = path.read_bytes()
        checksum = hashlib.sha256(content).hexdigest()
        found[version] = Migration(version, path.name, content.decode("utf-8"), checksum)
    if not found:
        raise MigrationError(f"{directory} holds no migrations.")
    return list(found.values())


def pending(files: list[Migration], applied: dict[int, tuple[str, str]]) -> list[Migration]:
    """The files still to run. `applied`: version -> (name, checksum), as the database holds it."""
    by_version = {file.version: file for file in files}
    newest_file = files[-1].version
    for version, (name, checksum) in sorted(applied.items()):
        file = by_version.get(version)
        if file is None:
            if version < newest_file:
                raise MigrationError(f"{name} has run on this database, but the file is missing.")
        elif file.checksum != checksum:
            raise MigrationError(f"{file.name} was changed after it ran; put the change in a new file.")
    waiting = [file for file in files if file.version not in applied]
    for file in waiting:
        if file.version < max(applied, default=0):
            raise MigrationError(f"{file.name} comes before one that has already run; give it a new number.")
    return waiting


def check_server(major: int, version: str) -> None:
    """MigrationError when the server is too old."""
    if major < _OLDEST_POSTGRES:
        raise MigrationError(f"PostgreSQL {_OLDEST_POSTGRES} or newer is needed; the server is {version}.")


async def migrate(
    url: str,
    *,
    schema: str,
    directory: Path,
    lock_timeout_ms: int = 5000,
    statement_timeout_ms: int = 60000,
    wait_ms: int = 300_000,
) -> list[str]:
    """Bring the schema up to date; returns the names of the files applied now.

    Safe to run from several processes at once: one works, the others wait up to `wait_ms`. A statement
    that waits longer than `lock_timeout_ms` for a lock, or runs longer than `statement_timeout_ms`,
    ends its file's transaction, so nothing of that file stays. A file that deadlocks with the release that
    runs is applied again. Raises MigrationError, and StartError when the database is away.
    """
    files = read_migrations(directory)
    server_settings = {
        "application_name": f"migrate {schema}",
        "search_path": check_schema_name(schema),
        "timezone": "UTC",
    }
    with reaching_postgres():
        conn = await asyncpg.connect(url, timeout=10, server_settings=server_settings)
    try:
        check_server(conn.get_server_version().major, conn.get_settings().server_version)
        await _lock(conn, schema, wait_ms)
        await conn.execute(
            f"SET lock_timeout = {int(lock_timeout_ms)}; SET statement_timeout = {int(statement_timeout_ms)}"
        )
        await _prepare_schema(conn, schema)
        rows = await conn.fetch("SELECT version, name, checksum FROM schema_migrations")
        applied = {row["version"]: (row["name"], row["checksum"]) for row in rows}
        done = []
        for file in pending(files, applied):
            await _apply(conn, file)
            log.info("migration applied", schema=schema, migration=file.name)
            done.append(file.name)
        return done
    finally:
        await conn.close()  # ends the session, and with it the advisory lock


async def _lock(conn: asyncpg.Connection, schema: str, wait_ms: int) -> None:
    """Only one process migrates a schema at a time."""
    await conn.execute(f"SET lock_timeout = {int(wait_ms)}")
    try:
        await conn.execute("SELECT pg_advisory_lock(hashtextextended('migrate ' || $1, 0))", schema)
    except asyncpg.LockNotAvailableError:
        raise MigrationError(f"Another process has been migrating {schema} for too long.") from None


async def _prepare_schema(conn: asyncpg.Connection, schema: str) -> None:
    if await conn.fetchval("SELECT to_regnamespace($1) IS NULL", schema):
        try:
            await conn.execute(f"CREATE SCHEMA {schema}")
        except asyncpg.InsufficientPrivilegeError:
            raise MigrationError(
                f"The schema {schema} does not exist and this role may not create it."
            ) from None
    await conn.execute(
        """
        CREATE TABLE IF NOT EXISTS schema_migrations (
            version    integer PRIMARY KEY,
            name       text NOT NULL,
            checksum   text NOT NULL,
            applied_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )


async def _apply(conn: asyncpg.Connection, file: Migration) -> None:
    deadlocks = 0
    while True:
        try:
            async with conn.transaction():
                await conn.execute(file.sql)
                await conn.execute(
                    "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
                    file.version,
                    file.name,
                    file.checksum,
                )
            return
        except asyncpg.DeadlockDetectedError as error:
            # The release that runs takes its locks in another order, and Postgres ended this side.
            deadlocks += 1
            if deadlocks == _MOST_DEADLOCKS:
                raise MigrationError(
                    f"{file.name} deadlocked {deadlocks} times; nothing of it stays."
                ) from error
        except asyncpg.LockNotAvailableError:
            raise MigrationError(f"{file.name} waited too long for a lock; nothing of it stays.") from None
        except asyncpg.QueryCanceledError:
            raise MigrationError(f"{file.name} ran too long and was ended; nothing of it stays.") from None
        except asyncpg.PostgresError as error:
            raise MigrationError(f"{file.name} failed, nothing of it stays: {error}") from error
