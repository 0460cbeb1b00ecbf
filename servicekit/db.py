"""Postgres: the pool, and SQL kept in files as named queries.

A service keeps its statements in `queries.sql`, each under a line `-- name: lock_gates`:

    q = Queries.load(Path(__file__).with_name("queries.sql"))
    rows = await q.lock_gates.fetch(conn, ids)          # inside the span `db.lock_gates`

`conn` is a connection or the pool itself. A query that the file does not hold is an AttributeError
that names the file. Spans appear only beneath a span that is being recorded: a poll makes no traces.
"""

import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar
from uuid import UUID

import asyncpg
import orjson
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from servicekit.runner import StartError
from servicekit.telemetry import tracer

_T = TypeVar("_T")
_NAME = re.compile(r"^--\s*name:\s*(\S+)\s*$")
_IDENTIFIER = re.compile(r"^[a-z_][a-z0-9_]{0,62}$")


class Executor(Protocol):
    """What a query runs on: `asyncpg.Connection`, a pooled connection or `asyncpg.Pool`."""

    async def execute(self, query: str, *args: object) -> str: ...
    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]: ...
    async def fetchrow(self, query: str, *args: object) -> asyncpg.Record | None: ...
    async def fetchval(self, query: str, *args: object) -> Any: ...


class Query:
    """One named statement. `sql` is its text, comments included, so that the server's log names it too."""

    __slots__ = ("_span_name", "name", "sql")

    def __init__(self, name: str, sql: str) -> None:
        self.name = name
        self.sql = sql
        self._span_name = f"db.{name}"

    async def fetch(self, conn: Executor, *args: object) -> list[asyncpg.Record]:
        """All rows."""
        return await self._run(conn.fetch, args)

    async def fetchrow(self, conn: Executor, *args: object) -> asyncpg.Record | None:
        """The first row, or None."""
        return await self._run(conn.fetchrow, args)

    async def fetchval(self, conn: Executor, *args: object) -> Any:
        """The first column of the first row, or None."""
        return await self._run(conn.fetchval, args)

    async def execute(self, conn: Executor, *args: object) -> str:
        """The command tag, such as `UPDATE 3`."""
        return await self._run(conn.execute, args)

    async def _run(self, call: Callable[..., Awaitable[_T]], args: tuple[object, ...]) -> _T:
        if not trace.get_current_span().is_recording():
            return await call(self.sql, *args)
        span = tracer().start_span(
            self._span_name,
            kind=SpanKind.CLIENT,
            attributes={"db.system.name": "postgresql", "db.query.summary": self.name},
        )
        try:
            return await call(self.sql, *args)
        except Exception as error:
            # The class only: a driver's message can quote the row.
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(Status(StatusCode.ERROR))
            raise
        finally:
            span.end()

    def __repr__(self) -> str:
        return f"Query({self.name!r})"


class Queries:
    """The named statements of one file."""

    def __init__(self, source: str, queries: dict[str, Query]) -> None:
        self._source = source
        self._queries = queries

    @classmethod
    def load(cls, path: Path) -> "Queries":
        """Read a file of `-- name: <python_identifier>` blocks. ValueError when it is malformed."""
        blocks: dict[str, list[str]] = {}
        current: list[str] | None = None
        comments: list[str] = []  # those above a name belong to it, those above SQL stay where they are
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if match := _NAME.match(line):
                name = match.group(1)
                if not name.isidentifier() or hasattr(cls, name):
                    raise ValueError(f"{path.name}:{number}: {name!r} cannot name a query")
                if name in blocks:
                    raise ValueError(f"{path.name}:{number}: the name {name!r} is taken")
                current = blocks[name] = comments
                comments = []
            elif not line.strip():
                comments = []
            elif line.lstrip().startswith("--"):
                comments.append(line)
            elif current is None:
                raise ValueError(f"{path.name}:{number}: SQL before the first `-- name:` line")
            else:
                current += [*comments, line]
                comments = []
        queries = {}
        for name, lines in blocks.items():
            if all(line.lstrip().startswith("--") for line in lines):
                raise ValueError(f"{path.name}: the query {name!r} is empty")
            queries[name] = Query(name, "\n".join([f"-- {name}", *lines]).rstrip(";"))
        return cls(path.name, queries)

    def __getattr__(self, name: str) -> Query:
        try:
            return self.__dict__["_queries"][name]  # type: ignore[no-any-return]
        except KeyError:
            raise AttributeError(f"{self.__dict__.get('_source')} holds no query named {name!r}") from None

    def __getitem__(self, name: str) -> Query:
        return self._queries[name]

    def __iter__(self) -> Iterator[Query]:
        return iter(self._queries.values())


def check_schema_name(schema: str) -> str:
    """The name, when it needs no quoting. ValueError otherwise: it ends up in SQL text."""
    if not _IDENTIFIER.match(schema):
        raise ValueError(f"{schema!r} is not a plain lower-case schema name")
    return schema


async def set_codecs(conn: asyncpg.Connection) -> None:
    """json and jsonb columns are Python values, encoded by orjson; uuid columns are plain `uuid.UUID`.

    asyncpg's own UUID is a subclass, and orjson encodes no subclasses: an id read from a row could not
    be published.
    """
    await conn.set_type_codec(
        "uuid",
        schema="pg_catalog",
        format="binary",
        encoder=lambda value: (value if isinstance(value, UUID) else UUID(value)).bytes,
        decoder=lambda data: UUID(bytes=bytes(data)),
    )
    await conn.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda value: b"\x01" + orjson.dumps(value),
        decoder=lambda data: orjson.loads(data[1:]),
    )
    await conn.set_type_codec(
        "json",
        schema="pg_catalog",
        format="binary",
        encoder=orjson.dumps,
        decoder=orjson.loads,
    )


async def _keep_session(conn: asyncpg.Connection) -> None:
    """Nothing to undo when a connection goes back, which saves a round trip on every request.

    asyncpg itself still rolls an open transaction back. In return nobody changes a session: settings
    are SET LOCAL, advisory locks are the `xact` kind, and there is no LISTEN on a pooled connection.
    """


@contextmanager
def reaching_postgres() -> Iterator[None]:
    """What keeps a connection from being made is a StartError. It does not quote the URL and its password."""
    try:
        yield
    except (OSError, asyncpg.PostgresError) as error:
        raise StartError(f"DATABASE_URL: {str(error) or 'no answer'}") from error
    except ValueError as error:
        raise StartError("DATABASE_URL: not the address of a PostgreSQL") from error


async def connect_pool(
    url: str,
    *,
    schema: str,
    min_size: int,
    max_size: int,
    statement_timeout_ms: int,
    lock_timeout_ms: int = 2000,
    application_name: str,
) -> asyncpg.Pool:
    """Open the pool: search_path is the schema alone, both timeouts hold on the server.

    StartError when the database is away or does not let us in.
    """
    pool = asyncpg.create_pool(
        url,
        min_size=min_size,
        max_size=max_size,
        init=set_codecs,
        reset=_keep_session,
        timeout=10,
        # The server ends a long statement; this ends the wait when the server itself is gone.
        command_timeout=statement_timeout_ms / 1000 + 5,
        server_settings={
            "application_name": application_name,
            "search_path": check_schema_name(schema),
            "statement_timeout": str(statement_timeout_ms),
            "lock_timeout": str(lock_timeout_ms),
            # A process that froze inside a transaction must not hold a gate for ever.
            "idle_in_transaction_session_timeout": "60000",
            "timezone": "UTC",
            "jit": "off",
            # Statements are prepared once a connection and look keys up, whatever the values are. Left to
            # itself, Postgres plans a batch of one anew each time: the generic plan expects ten rows.
            "plan_cache_mode": "force_generic_plan",
            # Such a plan lasts. Made while the tables were empty, as after an installation, it would go on
            # reading them from end to end: only where no index helps may that be.
            "enable_seqscan": "off",
            "enable_hashjoin": "off",
            "enable_mergejoin": "off",
        },
    )
    with reaching_postgres():
        return await pool
