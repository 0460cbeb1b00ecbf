"""Racing: many rounds of the same two things at once, each round checked against what Postgres holds."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from unittest.mock import patch
from uuid import UUID

import asyncpg

from message_svc import store
from message_svc.actions.remembered_gates import RememberedGates
from message_svc.domain import GateSnapshot, HeldGate
from servicekit.db import Executor, Query
from servicekit.errors import ChatError

ROUNDS = 500
# A broken build must be caught within this many rounds; a right one passes ROUNDS of them.
ROUNDS_TO_CATCH = 2000


_T = TypeVar("_T")


async def at_last(call: Callable[[], Awaitable[_T]], tries: int = 200) -> _T:
    """Repeats a call that answers UNAVAILABLE, as every caller of a repeatable RPC does."""
    for left in range(tries, 0, -1):
        try:
            return await call()
        except ChatError as error:
            if not error.retryable or left == 1:
                raise
            await asyncio.sleep(0.02)  # what the server asks of a caller; not a condition
    raise AssertionError("no tries")


@dataclass
class Round:
    """What one round left: the last number when the change was acknowledged, and after everybody was done."""

    acknowledged: bool
    at_acknowledgement: int
    in_the_end: int

    @property
    def violated(self) -> bool:
        """Something was stored after the acknowledgement."""
        return self.acknowledged and self.in_the_end != self.at_acknowledgement


async def stored(pool: asyncpg.Pool, conversation_id: str) -> int:
    """How many messages the conversation holds, counted from the rows themselves."""
    count: int = await pool.fetchval(
        "SELECT count(*) FROM message WHERE conversation_id = $1", UUID(conversation_id)
    )
    return count


class Aim:
    """When the change strikes: after so many steps of the writers' way, others in each round.

    How long that way is depends on the machine, so the aim moves to where either side may win.
    """

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._middle = 10.0

    def steps(self) -> int:
        """Turns of the event loop to wait this round."""
        return self._chance.randrange(int(2 * self._middle) + 1)

    def learn(self, *, change_came_first: bool) -> None:
        """Later next time when the change came first, earlier when it came too late."""
        if change_came_first:
            # The bound is seconds: however slow the writers' way is, the aim gets there.
            self._middle = min(50_000.0, self._middle * 1.25 + 1)
        else:
            self._middle *= 0.8


async def race(
    count: Callable[[], Awaitable[int]],
    writers: Sequence[Callable[[], Awaitable[None]]],
    change: Callable[[], Awaitable[bool]],
    aim: Aim,
) -> Round:
    """Starts the writers, lets the change loose among them, counts at its acknowledgement and at the end.

    `count` says how many messages are stored; `change` answers whether it was acknowledged as done.
    """
    running = [asyncio.ensure_future(writer()) for writer in writers]
    for _ in range(aim.steps()):
        await asyncio.sleep(0)
    acknowledged = await change()
    at_acknowledgement = await count()
    await asyncio.gather(*running)
    return Round(acknowledged, at_acknowledgement, await count())


@contextmanager
def gates_read_without_lock() -> Iterator[None]:
    """A deliberately broken build: the send reads the gate and does not lock it.

    And takes its time between reading and writing, so that a fast machine meets the gap too.
    """
    unlocked = Query("lock_gates", store.q.lock_gates.sql.replace("FOR UPDATE", ""))
    assert unlocked.sql != store.q.lock_gates.sql

    async def read_gates(conn: Executor, ids: Iterable[UUID]) -> dict[UUID, HeldGate]:
        rows = await unlocked.fetch(conn, sorted(set(ids)))
        await asyncio.sleep(0.01)
        return {row["id"]: store.held_gate(row) for row in rows}

    with patch.object(store, "lock_gates", read_gates), nothing_remembered():
        yield


@contextmanager
def nothing_remembered() -> Iterator[None]:
    """Every send locks its gates first."""
    with patch.object(RememberedGates, "take", lambda _self, _sends: {}):
        yield


@dataclass
class Guesses:
    """Statements that wrote by what was remembered: those in which all was right, and the others."""

    right: int = 0
    wrong: int = 0


@contextmanager
def guesses_counted() -> Iterator[Guesses]:
    """Counts what this process writes meanwhile."""
    guesses = Guesses()
    whole = store.place_unless_moved

    async def place(conn: Executor, expected: Mapping[UUID, HeldGate], **batch: Any) -> set[UUID]:
        left_out = await whole(conn, expected, **batch)
        guesses.wrong += bool(left_out)
        guesses.right += not left_out
        return left_out

    with patch.object(store, "place_unless_moved", place):
        yield guesses


@contextmanager
def gates_not_compared() -> Iterator[None]:
    """A deliberately broken build: the send writes by what it remembers, however the gate stands."""
    whole = store.q.place_unless_moved.sql
    sql, found = re.subn(
        r"WHERE gate\.id = moved\.id.*?RETURNING", "WHERE gate.id = moved.id RETURNING", whole, flags=re.S
    )
    assert found == 1
    with patch.dict(store.q._queries, {"place_unless_moved": Query("place_unless_moved", sql)}):
        yield


@contextmanager
def pushes_acknowledged_unapplied() -> Iterator[None]:
    """A deliberately broken build: a push that denies is acknowledged and not written."""

    whole = store.raise_gates

    async def forget_denials(conn: Executor, gates: Sequence[GateSnapshot]) -> None:
        granted = [gate for gate in gates if all(rights.can_send for rights in gate.rights.values())]
        await whole(conn, granted)

    with patch.object(store, "raise_gates", forget_denials):
        yield
