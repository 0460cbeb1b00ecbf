"""When people were last seen, in Postgres: for those whom Redis does not know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from servicekit.db import Executor, Queries

q = Queries.load(Path(__file__).with_name("queries.sql"))
_EPOCH = datetime.fromtimestamp(0, UTC)


async def save_last_seen(conn: Executor, seen: Mapping[str, int]) -> None:
    """Keeps the moments (milliseconds since the epoch, by user id) that are later than what is kept."""
    moments = [moment(each) for each in seen.values()]
    await q.save_last_seen.execute(conn, list(seen), moments)


async def get_last_seen(conn: Executor, user_ids: Sequence[str]) -> dict[str, int]:
    """Milliseconds since the epoch, by user id, of those who were seen."""
    rows = await q.get_last_seen.fetch(conn, user_ids)
    return {row["user_id"]: (row["at"] - _EPOCH) // timedelta(milliseconds=1) for row in rows}


def moment(milliseconds: int) -> datetime:
    """The time that many milliseconds after the epoch, in UTC, exactly."""
    return _EPOCH + timedelta(milliseconds=milliseconds)
