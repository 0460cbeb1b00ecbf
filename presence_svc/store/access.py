"""Who is not let in any more, in Postgres, each change under a version."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import asyncpg

from presence_svc.domain import AccessChange, Banned, NotBanned, SessionOver, TokensOver
from servicekit.db import Executor, Queries

q = Queries.load(Path(__file__).with_name("access.sql"))


@dataclass(frozen=True, slots=True)
class AccessPage:
    """Changes in the order of their versions."""

    changes: list[tuple[str, AccessChange]]
    """Each with whom it is about."""
    version: int
    """Up to which these are all there are."""
    has_more: bool


async def lock_access(conn: Executor) -> None:
    """From here on nobody else makes a change until this transaction ends. Its first statement: what decides
    is read after it."""
    await q.lock_access.fetchval(conn)


async def get_access_change(conn: Executor, user_id: str, like: AccessChange) -> AccessChange | None:
    """What holds of somebody of the kind of `like` (the very session, when it is about one).

    It is not forgotten before the end of this transaction.
    """
    row = await q.get_access_change.fetchrow(conn, user_id, *_place(like))
    return None if row is None else _change(row)


async def put_access_change(conn: Executor, user_id: str, change: AccessChange, now: datetime) -> int:
    """Records it under the next version, which is returned. Under the lock."""
    until = change.until if isinstance(change, TokensOver | Banned) else None
    lifted = isinstance(change, NotBanned)
    version = await q.put_access_change.fetchval(conn, user_id, *_place(change), until, lifted, now)
    return int(version)


async def renew_access_change(conn: Executor, user_id: str, like: AccessChange, now: datetime) -> None:
    """It was said again, and is kept from now on as long as if it were new.

    At the version that it has: nobody has to read it again.
    """
    await q.renew_access_change.execute(conn, user_id, *_place(like), now)


async def list_access_changes(conn: Executor, after: int, limit: int) -> AccessPage:
    """At most `limit` changes after that version."""
    rows = await q.list_access_changes.fetch(conn, after, limit + 1)
    newest = int(rows[0]["newest"])
    found = [row for row in rows if row["version"] is not None]
    has_more = len(found) > limit
    changes = [(row["user_id"], _change(row)) for row in found[:limit]]
    return AccessPage(changes, int(found[limit - 1]["version"]) if has_more else newest, has_more)


async def forget_access_changes(conn: Executor, before: datetime, limit: int) -> int:
    """Forgets at most `limit` of what was said before then and holds nobody back any more; how many."""
    return int((await q.forget_access_changes.execute(conn, before, limit)).removeprefix("DELETE "))


def _place(change: AccessChange) -> tuple[str, str]:
    match change:
        case TokensOver():
            return "tokens", ""
        case SessionOver(sid):
            return "session", sid
        case Banned() | NotBanned():
            return "ban", ""


def _change(row: asyncpg.Record) -> AccessChange:
    match row["about"]:
        case "tokens":
            return TokensOver(row["until"])
        case "session":
            return SessionOver(row["sid"])
        case _:
            return NotBanned() if row["lifted"] else Banned(row["until"])
