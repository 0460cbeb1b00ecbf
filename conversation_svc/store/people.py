"""Profiles, settings, blocks, connections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from conversation_svc.domain import Profile, Settings, pair_of
from conversation_svc.store.rows import profile_of, q
from servicekit.db import Executor


async def is_blocked(conn: Executor, user_id: str, other_id: str) -> bool:
    """Whether there is a block between the two, either way."""
    return bool(await q.is_blocked.fetchval(conn, user_id, other_id))


async def put_block(conn: Executor, blocker_id: str, blocked_id: str, now: datetime) -> int | None:
    """The new block's version; None when it stood already. Under the pair's lock."""
    version: int | None = await q.put_block.fetchval(conn, blocker_id, blocked_id, now)
    return version


async def delete_block(conn: Executor, blocker_id: str, blocked_id: str, now: datetime) -> int | None:
    """The lifted block's version; None when there was none. Under the pair's lock."""
    version: int | None = await q.delete_block.fetchval(conn, blocker_id, blocked_id, now)
    return version


async def list_blocks(
    conn: Executor, blocker_id: str, after: tuple[datetime, str] | None, limit: int
) -> list[tuple[Profile, datetime]]:
    """At most `limit` people whom that person blocks, with the time, newest first."""
    if after is None:
        rows = await q.list_newest_blocks.fetch(conn, blocker_id, limit)
    else:
        rows = await q.list_blocks.fetch(conn, blocker_id, *after, limit)
    return [(profile_of(row), row["created_at"]) for row in rows]


async def is_connected(conn: Executor, user_id: str, other_id: str) -> bool:
    """Whether the marketplace says that the two know each other."""
    return bool(await q.is_connected.fetchval(conn, *pair_of(user_id, other_id)))


async def connect_people(conn: Executor, user_id: str, other_id: str, now: datetime) -> None:
    """Records that the two know each other."""
    await q.connect_people.execute(conn, *pair_of(user_id, other_id), now)


async def get_settings(conn: Executor, user_id: str) -> Settings:
    """What that person shows; everything when they never changed it."""
    row = await q.get_settings.fetchrow(conn, user_id)
    return Settings(**row) if row else Settings()


async def put_settings(conn: Executor, user_id: str, settings: Settings, now: datetime) -> None:
    """Under the settings' lock."""
    await q.put_settings.execute(
        conn, user_id, settings.read_receipts, settings.typing_indicators, settings.presence, now
    )


async def get_profiles(conn: Executor, user_ids: Sequence[str]) -> dict[str, Profile]:
    """Profiles of those who were ever met."""
    return {row["user_id"]: profile_of(row) for row in await q.get_profiles.fetch(conn, user_ids)}


async def put_profiles(conn: Executor, profiles: Iterable[Profile], now: datetime) -> None:
    """Records profiles, each with a role; the last one of a person holds. What is equal is not written."""
    rows = list({profile.user_id: profile for profile in profiles}.values())
    await q.put_profiles.execute(
        conn,
        [row.user_id for row in rows],
        [row.display_name for row in rows],
        [row.avatar_url for row in rows],
        [row.role for row in rows],
        [row.org_id for row in rows],
        [row.org_name for row in rows],
        [row.org_verified for row in rows],
        now,
    )
