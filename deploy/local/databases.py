"""Databases for the services: a role and a schema of its own for each, closed to the others."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from deploy.local.errors import LocalError
from deploy.local.folders import Folder, make_secret
from deploy.local.postgres import OLDEST


async def ensure_database(admin_url: str, name: str) -> str:
    """Makes the database when absent, closed to all not let in; returns its administrator's URL."""
    connection = await _connect(admin_url)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            await connection.execute(f"CREATE DATABASE {_quoted(name)}")
        await connection.execute(f"REVOKE ALL ON DATABASE {_quoted(name)} FROM PUBLIC")
    except asyncpg.InsufficientPrivilegeError as error:
        raise LocalError(f"The user of DATABASE_URL may not make the database {name}: {error}.") from error
    finally:
        await connection.close()
    return with_parts(admin_url, database=name)


async def ensure_service(admin_url: str, service: str, *, role: str, password: str) -> str:
    """Makes or updates role and schema of `service` in `admin_url`'s database; returns the role's URL.

    The schema is named after the service. The role may use no other one.
    """
    connection = await _connect(admin_url)
    try:
        async with connection.transaction():
            verb = (
                "ALTER"
                if await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role)
                else "CREATE"
            )
            await connection.execute(f"{verb} ROLE {_quoted(role)} LOGIN PASSWORD '{_literal(password)}'")
            database = _quoted(await connection.fetchval("SELECT current_database()"))
            await connection.execute(f"GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {_quoted(role)}")
            # An administrator who is no superuser must be a member of the role to give it a schema.
            await connection.execute(f"GRANT {_quoted(role)} TO CURRENT_USER")
            await connection.execute(
                f"CREATE SCHEMA IF NOT EXISTS {_quoted(service)} AUTHORIZATION {_quoted(role)}"
            )
            await connection.execute(f"ALTER SCHEMA {_quoted(service)} OWNER TO {_quoted(role)}")
            await connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    except asyncpg.InsufficientPrivilegeError as error:
        raise LocalError(f"The user of DATABASE_URL may not make the role {role}: {error}.") from error
    finally:
        await connection.close()
    return with_parts(admin_url, user=role, password=password)


async def ensure_services(admin_url: str, folder: Folder, services: Iterable[str]) -> dict[str, str]:
    """Role and schema of each service, under its name; returns their URLs. `folder` keeps the passwords."""
    return {
        service: await ensure_service(
            admin_url, service, role=service, password=make_secret(folder, f"{service}-password")
        )
        for service in services
    }


async def drop_database(admin_url: str, name: str, roles: Iterable[str]) -> None:
    """Removes the database, whoever is connected, and roles that own nothing elsewhere."""
    connection = await _connect(admin_url)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")
        for role in roles:
            await connection.execute(f"DROP ROLE IF EXISTS {_quoted(role)}")
    finally:
        await connection.close()


def with_parts(
    url: str, *, user: str | None = None, password: str | None = None, database: str | None = None
) -> str:
    """`url` with another user and password, or another database; its host, port and query stay."""
    parts = urlsplit(url)
    netloc = parts.netloc
    if user is not None:
        secret = "" if password is None else f":{quote(password, safe='')}"
        netloc = f"{quote(user, safe='')}{secret}@{netloc.rpartition('@')[2]}"
    path = parts.path if database is None else f"/{quote(database, safe='')}"
    return urlunsplit(parts._replace(netloc=netloc, path=path))


async def _connect(url: str) -> asyncpg.Connection:
    host = urlsplit(url).netloc.rpartition("@")[2]  # without the password
    try:
        connection = await asyncpg.connect(url, timeout=30)
    except (OSError, TimeoutError, asyncpg.PostgresError, ValueError) as error:
        raise LocalError(f"The Postgres of DATABASE_URL ({host}) does not let us in: {error}.") from error
    major = connection.get_server_version().major
    if major < OLDEST:
        await connection.close()
        raise LocalError(
            f"The Postgres of DATABASE_URL ({host}) is version {major}: the chat needs {OLDEST} or newer."
        )
    return connection


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return text.replace("'", "''")
