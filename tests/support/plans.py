"""What Postgres does for a call: the plan of each of its statements, with what it read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from unittest.mock import patch

import asyncpg
import orjson

from servicekit.db import Query

_SCANS = ("Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan")


@dataclass(frozen=True)
class Plan:
    """One statement as it ran."""

    name: str
    root: Mapping[str, Any]

    @property
    def nodes(self) -> Iterator[Mapping[str, Any]]:
        """All parts, the outermost first."""
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            waiting += node.get("Plans", ())
            yield node

    @property
    def scanned_whole(self) -> set[str]:
        """Tables that were, or would have been, read from end to end."""
        return {node["Relation Name"] for node in self.nodes if node["Node Type"] == "Seq Scan"}

    @property
    def rows(self) -> int:
        """Rows of tables that were looked at, those that were not wanted among them."""
        return sum(
            round((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
            for node in self.nodes
            if node["Node Type"] in _SCANS
        )

    @property
    def blocks(self) -> int:
        """Pages of 8 KiB that were looked at, in memory or not."""
        return int(self.root["Shared Hit Blocks"] + self.root["Shared Read Blocks"])


@asynccontextmanager
async def explained(pool: asyncpg.Pool) -> AsyncIterator[list[Plan]]:
    """Every named statement that is run meanwhile in the database of `pool`, in their order.

    Other services of this process have work of their own in other databases.

    Each runs twice, first to be explained in a savepoint that is rolled back: with the plan that a prepared
    statement of the same connection has.
    """
    plans: list[Plan] = []
    run = Query._run
    database = await pool.fetchval("SELECT current_database()")

    async def explain_and_run(
        query: Query, call: Callable[..., Awaitable[Any]], args: tuple[object, ...]
    ) -> Any:
        async with _connection(call) as conn:
            if await conn.fetchval("SELECT current_database()") == database:
                plans.append(Plan(query.name, await _explain(conn, query.sql, args)))
        return await run(query, call, args)

    with patch.object(Query, "_run", explain_and_run):
        yield plans


async def plans_of(pool: asyncpg.Pool, queries: Iterable[Query]) -> list[Plan]:
    """What Postgres would do for statements, whatever their values; nothing runs."""
    found = []
    async with pool.acquire() as acquired:
        conn = cast(asyncpg.Connection, acquired)
        for query in queries:
            values = ["NULL" for _ in (await conn.prepare(query.sql)).get_parameters()]
            found.append(Plan(query.name, await _prepared(conn, "EXPLAIN (FORMAT JSON)", query.sql, values)))
            await conn.execute("DEALLOCATE explained")
    return found


@asynccontextmanager
async def _connection(call: Callable[..., Awaitable[Any]]) -> AsyncIterator[asyncpg.Connection]:
    executor = cast(Any, call).__self__
    if isinstance(executor, asyncpg.Pool):
        async with executor.acquire() as conn:
            yield cast(asyncpg.Connection, conn)
    else:
        yield executor


async def _explain(conn: asyncpg.Connection, sql: str, args: tuple[object, ...]) -> Mapping[str, Any]:
    types = (await conn.prepare(sql)).get_parameters()
    values = [
        f"{_array(cast(list[object], value)) if kind.kind == 'array' else _literal(value)}::{kind.name}"
        for value, kind in zip(args, types, strict=True)
    ]
    transaction = conn.transaction()
    await transaction.start()
    try:
        return await _prepared(conn, "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)", sql, values)
    finally:
        await transaction.rollback()
        await conn.execute("DEALLOCATE explained")  # also one that failed: a rollback leaves it there


async def _prepared(
    conn: asyncpg.Connection, explain: str, sql: str, values: Sequence[str]
) -> Mapping[str, Any]:
    given = f"({', '.join(values)})" if values else ""
    await conn.execute(f"PREPARE explained AS {sql}")
    found = await conn.fetchval(f"{explain} EXECUTE explained{given}")
    plan: Mapping[str, Any] = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return plan


def _array(values: Iterable[object]) -> str:
    return f"ARRAY[{', '.join(map(_literal, values))}]"


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        text = "\\x" + value.hex()
    elif isinstance(value, dict | list):
        text = orjson.dumps(value).decode()
    elif isinstance(value, datetime):
        text = value.isoformat()
    elif isinstance(value, timedelta):
        text = f"{value.total_seconds()} seconds"
    else:
        text = str(value)
    return "'" + text.replace("'", "''") + "'"
