"""Migrations on a real Postgres."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import pytest

from servicekit.migrations import MigrationError, migrate
from tests.support.backing import TestDatabase
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[3]
_MIGRATE = """
import asyncio, pathlib, sys
from servicekit.migrations import migrate
url, schema, directory = sys.argv[1:]
print(len(asyncio.run(migrate(url, schema=schema, directory=pathlib.Path(directory)))), file=sys.stderr)
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "0001_letters.sql").write_text("CREATE TABLE letter (id int PRIMARY KEY);")
    (tmp_path / "0002_more.sql").write_text(
        "ALTER TABLE letter ADD COLUMN name text;\nINSERT INTO letter VALUES (1, 'a');"
    )
    return tmp_path


async def count(database: TestDatabase, query: str) -> int:
    conn = await asyncpg.connect(database.admin_url)
    try:
        return int(await conn.fetchval(query))
    finally:
        await conn.close()


async def test_each_file_is_applied_once(database: TestDatabase, schema: str, files: Path) -> None:
    done = await migrate(database.admin_url, schema=schema, directory=files)
    assert done == ["0001_letters.sql", "0002_more.sql"]
    assert await migrate(database.admin_url, schema=schema, directory=files) == []
    (files / "0003_last.sql").write_text("INSERT INTO letter VALUES (2, 'b')")
    assert await migrate(database.admin_url, schema=schema, directory=files) == ["0003_last.sql"]
    assert await count(database, f"SELECT count(*) FROM {schema}.letter") == 2


async def test_a_changed_file_is_refused(database: TestDatabase, schema: str, files: Path) -> None:
    await migrate(database.admin_url, schema=schema, directory=files)
    (files / "0001_letters.sql").write_text("CREATE TABLE letter (id bigint PRIMARY KEY);")
    (files / "0003_last.sql").write_text("DROP TABLE letter")
    with pytest.raises(MigrationError, match="changed after it ran"):
        await migrate(database.admin_url, schema=schema, directory=files)
    assert await count(database, f"SELECT count(*) FROM {schema}.letter") == 1


async def test_an_older_release_migrates_nothing_and_is_content(
    database: TestDatabase, schema: str, files: Path
) -> None:
    await migrate(database.admin_url, schema=schema, directory=files)
    (files / "0002_more.sql").unlink()
    assert await migrate(database.admin_url, schema=schema, directory=files) == []


async def test_a_file_that_fails_leaves_nothing_and_those_before_it_stay(
    database: TestDatabase, schema: str, files: Path
) -> None:
    (files / "0003_bad.sql").write_text("CREATE TABLE half (id int);\nSELECT nonsense;")
    with pytest.raises(MigrationError, match=r"^0003_bad\.sql failed, nothing of it stays"):
        await migrate(database.admin_url, schema=schema, directory=files)
    assert await count(database, f"SELECT count(*) FROM {schema}.schema_migrations") == 2
    assert await count(database, f"SELECT count(*) FROM pg_tables WHERE schemaname = '{schema}'") == 2
    (files / "0003_bad.sql").write_text("CREATE TABLE half (id int);")
    assert await migrate(database.admin_url, schema=schema, directory=files) == ["0003_bad.sql"]


async def test_processes_that_migrate_at_once_apply_each_file_once(
    database: TestDatabase, schema: str, files: Path
) -> None:
    (files / "0003_slow.sql").write_text("SELECT pg_sleep(1);\nINSERT INTO letter VALUES (3, 'c')")

    async def run() -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _MIGRATE,
            database.admin_url,
            schema,
            str(files),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        _, said = await process.communicate()
        assert process.returncode == 0, said.decode()
        return int(said.split()[-1])

    applied = await asyncio.gather(run(), run(), run())
    assert sorted(applied) == [0, 0, 3]
    assert await count(database, f"SELECT count(*) FROM {schema}.letter") == 2


async def test_waiting_for_another_migration_has_an_end(
    database: TestDatabase, schema: str, files: Path
) -> None:
    await migrate(database.admin_url, schema=schema, directory=files)
    conn = await asyncpg.connect(database.admin_url)
    await conn.execute("SELECT pg_advisory_lock(hashtextextended('migrate ' || $1, 0))", schema)
    with pytest.raises(MigrationError, match="Another process has been migrating"):
        await migrate(database.admin_url, schema=schema, directory=files, wait_ms=100)
    await conn.close()


async def test_a_locked_table_ends_the_migration_instead_of_queueing_everyone_behind_it(
    database: TestDatabase, schema: str, files: Path
) -> None:
    await migrate(database.admin_url, schema=schema, directory=files)
    (files / "0003_blocked.sql").write_text("ALTER TABLE letter ADD COLUMN again int;")
    conn = await asyncpg.connect(database.admin_url)
    async with conn.transaction():
        await conn.execute(f"LOCK TABLE {schema}.letter IN ACCESS SHARE MODE")
        started = time.monotonic()
        with pytest.raises(MigrationError, match=r"0003_blocked\.sql waited too long for a lock"):
            await migrate(database.admin_url, schema=schema, directory=files, lock_timeout_ms=1000)
        assert time.monotonic() - started < 30
    await conn.close()
    assert await migrate(database.admin_url, schema=schema, directory=files) == ["0003_blocked.sql"]


async def test_a_file_that_deadlocks_with_a_running_release_is_applied_all_the_same(
    database: TestDatabase, schema: str, files: Path
) -> None:
    (files / "0003_parcels.sql").write_text("CREATE TABLE parcel (id int);")
    await migrate(database.admin_url, schema=schema, directory=files)
    (files / "0004_both.sql").write_text(
        "ALTER TABLE letter ADD COLUMN sent int;\nALTER TABLE parcel ADD COLUMN sent int;"
    )
    waiting = f"SELECT count(*) FROM pg_locks WHERE relation = '{schema}.parcel'::regclass AND NOT granted"
    conn = await asyncpg.connect(database.admin_url)
    async with conn.transaction():
        await conn.fetch(f"SELECT FROM {schema}.parcel")
        migrating = asyncio.create_task(migrate(database.admin_url, schema=schema, directory=files))
        await eventually(lambda: count(database, waiting))
        # Each now waits for the other, and Postgres ends one of the two.
        with contextlib.suppress(asyncpg.DeadlockDetectedError):
            await conn.fetch(f"SELECT FROM {schema}.letter")
    await conn.close()
    assert await migrating == ["0004_both.sql"]


async def test_a_statement_that_runs_too_long_is_ended(
    database: TestDatabase, schema: str, files: Path
) -> None:
    await migrate(database.admin_url, schema=schema, directory=files)
    (files / "0003_endless.sql").write_text("SELECT pg_sleep(600);")
    with pytest.raises(MigrationError, match=r"0003_endless\.sql ran too long"):
        await migrate(database.admin_url, schema=schema, directory=files, statement_timeout_ms=1000)


async def test_a_role_without_the_right_to_make_the_schema_is_told_so(
    database: TestDatabase, files: Path
) -> None:
    url = await database.url("message_svc")
    with pytest.raises(MigrationError, match="schema elsewhere does not exist and this role may not"):
        await migrate(url, schema="elsewhere", directory=files)
    assert len(await migrate(url, schema="message_svc", directory=files)) == 2
