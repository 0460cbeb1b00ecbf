"""One transaction that may change who sees whom, and the word to those who have to ask anew."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from conversation_svc.actions.deps import Deps
from servicekit.control import Kind
from servicekit.db import Executor


@dataclass(frozen=True, slots=True)
class Change:
    """A transaction, and whom its commit concerns."""

    conn: Executor
    concerned: set[str] = field(default_factory=set)
    """People of whom others may see more or less from the commit on, and they of others.

    Edges look again at the screens of these people and at those that show one of them: one of two is enough
    where they may see each other. Where they may only now (an acceptance, somebody who joins), all are named.
    """


@asynccontextmanager
async def changing(deps: Deps) -> AsyncIterator[Change]:
    """Commits; then, before anything waits for another service, tells every edge about those concerned.

    At once or not at all: it is the commit that counts. A Redis that is away costs the caller the publisher's
    timeout at most, and edges ask anew by themselves.
    """
    async with deps.pool.acquire() as conn, conn.transaction():
        change = Change(conn)
        yield change
    await deps.control.tell(Kind.RELATIONS, sorted(change.concerned))
