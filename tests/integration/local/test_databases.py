"""Each service has a role and schema of its own, and no way into another's."""

from __future__ import annotations

import asyncpg
import pytest

from deploy.local import databases
from deploy.local.databases import with_parts
from deploy.local.errors import LocalError
from tests.support.backing import MakeDatabase


async def test_a_service_works_in_its_own_schema(make_database: MakeDatabase) -> None:
    database = await make_database()
    connection = await asyncpg.connect(await database.url("message_svc"))
    try:
        await connection.execute("CREATE TABLE message_svc.thing (id int)")
        assert await connection.fetchval("SELECT count(*) FROM message_svc.thing") == 0
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM conversation_svc.secret",
        "CREATE TABLE conversation_svc.mine ()",
        "CREATE TABLE public.mine ()",
    ],
)
async def test_a_service_may_not_touch_a_schema_that_is_not_its_own(
    make_database: MakeDatabase, statement: str
) -> None:
    database = await make_database()
    owner = await asyncpg.connect(await database.url("conversation_svc"))
    other = await asyncpg.connect(await database.url("message_svc"))
    try:
        await owner.execute("CREATE TABLE conversation_svc.secret (id int)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await other.execute(statement)
    finally:
        await owner.close()
        await other.close()


async def test_two_databases_share_nothing(make_database: MakeDatabase) -> None:
    first, second = await make_database(), await make_database()
    await first.url("message_svc")
    stranger = await second.url("message_svc")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(with_parts(stranger, database=first.name))


def test_the_shared_servers_are_named(redis_url: str, amqp_url: str) -> None:
    assert redis_url.startswith("redis://")
    assert amqp_url.startswith("amqp://")


async def test_a_named_postgres_that_is_too_old_is_refused_in_one_sentence(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "OLDEST", 99)
    with pytest.raises(
        LocalError, match=r"^The Postgres of DATABASE_URL \(.*\) is version \d+: .* 99 or newer.$"
    ):
        await databases.ensure_database(postgres_url, "never_made")
