"""What stands between people who are in conversations together."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from conversation_svc.domain import Between, Settings, State
from conversation_svc.store.rows import q
from servicekit.db import Executor


async def list_companies(
    conn: Executor, viewings: Sequence[tuple[str, UUID]]
) -> list[dict[str, Between] | None]:
    """For each (viewer, conversation) the others who are in it now; None when the viewer is not."""
    rows = await q.list_companies.fetch(
        conn, [viewer_id for viewer_id, _ in viewings], [conversation_id for _, conversation_id in viewings]
    )
    companies: list[dict[str, Between] | None] = [None] * len(viewings)
    for row in rows:
        others = companies[row["place"] - 1] or {}
        if row["user_id"] is not None:
            others[row["user_id"]] = _between(row, State(row["state"]))
        companies[row["place"] - 1] = others
    return companies


async def list_acquainted(conn: Executor, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Between]:
    """Of the pairs (viewer, other), no two alike, those who share an active conversation that they began.

    Not with those who were added to it: see the query. Whom edges are told about after a change does not
    follow from this but is named by each change (`actions/changing.py`).
    """
    rows = await q.list_acquainted.fetch(conn, [viewer for viewer, _ in pairs], [other for _, other in pairs])
    return {(row["viewer_id"], row["user_id"]): _between(row, State.ACTIVE) for row in rows}


def _between(row: asyncpg.Record, state: State) -> Between:
    return Between(state, row["blocked"], (_settings(row, "my"), _settings(row, "their")))


def _settings(row: asyncpg.Record, whose: str) -> Settings:
    """Without what concerns receipts, which is not asked here."""
    return Settings(presence=row[f"{whose}_presence"], typing_indicators=row[f"{whose}_typing_indicators"])
