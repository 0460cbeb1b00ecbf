"""The pool and named queries on a real Postgres."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from servicekit.db import Queries, connect_pool
from servicekit.runner import StartError
from servicekit.telemetry import tracer
from tests.support.backing import TestDatabase

POOL: Any = {
    "schema": "one",
    "min_size": 1,
    "max_size": 1,
    "statement_timeout_ms": 1000,
    "application_name": "test",
}


@pytest.fixture
def q(tmp_path: Path) -> Queries:
    path = tmp_path / "queries.sql"
    path.write_text(
        "-- name: echo\nSELECT $1::jsonb AS value;\n"
        "-- name: echo_all\nSELECT unnest($1::jsonb[]) AS value;\n"
        "-- name: fail\nSELECT 1 / $1::int;\n"
    )
    return Queries.load(path)


@pytest.mark.parametrize("value", [{"a": [1, None, "ü"]}, [], "text", 7, True])
async def test_jsonb_is_a_value(pool: asyncpg.Pool, q: Queries, value: object) -> None:
    assert await q.echo.fetchval(pool, value) == value
    # In a jsonb[] as well, though a list there would be another dimension of the array.
    values = [{"value": value}, {"value": value}]
    assert [row["value"] for row in await q.echo_all.fetch(pool, values)] == values


async def test_a_session_is_set_up_for_its_schema(pool: asyncpg.Pool, schema: str) -> None:
    settings = {
        "search_path": schema,
        "lock_timeout": "2s",
        "statement_timeout": "30s",
        "TimeZone": "UTC",
    }
    for name, value in settings.items():
        assert await pool.fetchval("SELECT current_setting($1)", name) == value


async def test_a_local_setting_ends_with_its_transaction(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute("SET LOCAL lock_timeout = '7s'")
    async with pool.acquire() as conn:
        assert await conn.fetchval("SHOW lock_timeout") == "2s"


async def test_a_query_is_a_span_beneath_a_recorded_one_and_silent_elsewhere(
    pool: asyncpg.Pool, q: Queries, spans: list[ReadableSpan]
) -> None:
    await q.echo.fetchval(pool, 1)
    assert spans == []
    with tracer().start_as_current_span("rpc") as rpc:
        await q.echo.fetchval(pool, 1)
        with pytest.raises(asyncpg.DivisionByZeroError):
            await q.fail.fetchval(pool, 0)
    echo, fail, _ = spans
    assert (echo.name, fail.name) == ("db.echo", "db.fail")
    assert {span.parent and span.parent.span_id for span in (echo, fail)} == {rpc.get_span_context().span_id}
    assert echo.status.status_code is StatusCode.UNSET
    assert fail.status.status_code is StatusCode.ERROR
    assert fail.attributes is not None
    assert fail.attributes["error.type"] == "DivisionByZeroError"


@pytest.mark.parametrize(
    "url", ["redis://chat:hunter2@127.0.0.1/chat", "postgresql://chat:hunter2/3@127.0.0.1/chat"]
)
async def test_what_is_no_address_of_a_postgres_is_told_without_its_password(url: str) -> None:
    with pytest.raises(StartError) as caught:
        await connect_pool(
            url, schema="one", min_size=1, max_size=1, statement_timeout_ms=1, application_name=""
        )
    assert str(caught.value).startswith("DATABASE_URL: ")
    assert "hunter2" not in str(caught.value)


async def test_a_password_that_is_wrong_is_why_nothing_starts(database: TestDatabase) -> None:
    url = database.admin_url.replace("@", "wrong@")
    with pytest.raises(StartError, match=r"^DATABASE_URL: password authentication failed"):
        await connect_pool(
            url, schema="one", min_size=1, max_size=1, statement_timeout_ms=1, application_name=""
        )
