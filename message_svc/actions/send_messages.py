"""Stores messages: decides under their gates, writes.

A single send is a batch of one. When this process remembers all gates of a batch, they decide it, and one
statement writes what is of gates that still stand so (ADR 0038). All else goes by locks: gates are locked and
read, then decided by.

Whether a message was stored before is asked only when that is likely, or decides something (ADR 0036): the
table's key refuses a second one under the same client id, and then the batch is decided again with what was
found.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

import asyncpg
import structlog

from message_svc import store
from message_svc.actions.batch import Batch, decide_batch
from message_svc.actions.remembered_gates import RememberedGates
from message_svc.domain import Decision, NewMessage
from message_svc.store.kept import KeptConnections
from servicekit.clock import Clock
from servicekit.db import Executor
from servicekit.outbox import Outbox

log = structlog.get_logger(__name__)


class RowFaultError(Exception):
    """One message of a batch could not be written, for a reason that lies in itself."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The transaction of a send was lost to a passing fault: it may be sent again."""

    error: Exception


Outcome: TypeAlias = Decision | RowFaultError | Lost


class Repeats:
    """Whether a batch looks for its messages among the stored ones before it writes.

    Repeats come together, when connections were lost. After one was found every batch looks, for `last_s`: no
    more than one batch in that time is refused by Postgres and done again.
    """

    def __init__(self, last_s: float) -> None:
        self._last_s = last_s
        self._until = float("-inf")

    def expected(self) -> bool:
        """Whether there was one lately."""
        return time.monotonic() < self._until

    def found(self) -> None:
        """There was one."""
        self._until = time.monotonic() + self._last_s


@dataclass(frozen=True, slots=True)
class SendDeps:
    """What storing messages needs, and what it remembers from one batch to the next."""

    pool: asyncpg.Pool | KeptConnections
    outbox: Outbox
    clock: Clock
    repeats: Repeats
    gates: RememberedGates
    window: timedelta
    """How long the bus hears no more of somebody who wrote (see `domain.tell`)."""


async def send_messages(deps: SendDeps, sends: Sequence[NewMessage]) -> list[Outcome]:
    """Stores a batch; outcomes in the order of `sends`.

    A row that Postgres refuses makes the batch fall back to singles, so that it harms no other.

    Raises:
        asyncpg.PostgresError, OSError: Postgres is away or the transaction was lost: nothing is acknowledged.
            When only a part of the batch was lost, its outcomes are `Lost` instead.
    """
    outcomes: list[Outcome | None] = [None] * len(sends)
    if not deps.repeats.expected():
        outcomes = await _send_remembered(deps, sends)
    left = [send for send, outcome in zip(sends, outcomes, strict=True) if outcome is None]
    if not left:
        return [outcome for outcome in outcomes if outcome is not None]
    rest: Iterator[Outcome]
    try:
        rest = iter(await _send_locked(deps, left))
    except Exception as error:
        if len(left) == len(sends):
            raise
        rest = itertools.repeat(Lost(error))  # of a part; the others are stored
    return [next(rest) if outcome is None else outcome for outcome in outcomes]


async def _send_remembered(deps: SendDeps, sends: Sequence[NewMessage]) -> list[Outcome | None]:
    """Stores what can be by what is remembered, in one statement; None for each send that is not stored.

    A refusal by a gate that may have changed since is not believed: nothing of its batch is stored.
    """
    not_stored: list[Outcome | None] = [None] * len(sends)
    remembered = deps.gates.take(sends)
    if not remembered:
        return not_stored
    async with deps.pool.acquire() as conn:
        replied = await store.find_replied(conn, sends)  # a message that exists exists for good
        batch = decide_batch(sends, remembered, {}, replied, deps.clock.now(), deps.window)
        if batch.refuses:
            return not_stored
        try:
            left_out = await store.place_unless_moved(
                conn,
                remembered,
                messages=batch.placed,
                gates=list(batch.gates.values()),
                unread_added=batch.unread,
                realtime=batch.realtime,
                bus=batch.bus,
            )
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
            if isinstance(error, asyncpg.UniqueViolationError):
                deps.repeats.found()
            return not_stored
        if left_out:
            batch.leave_out(left_out)
        deps.outbox.publish_soon(realtime=batch.realtime, bus=batch.bus)
    deps.gates.keep(batch.gates)
    deps.gates.tried(missed=bool(left_out))
    return [
        None if send.conversation_id in left_out else decision
        for send, decision in zip(sends, batch.decisions, strict=True)
    ]


async def _send_locked(deps: SendDeps, sends: Sequence[NewMessage]) -> list[Decision | RowFaultError]:
    look = deps.repeats.expected()
    while True:
        try:
            return list(await _send_batch(deps, sends, look=look))
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
            if isinstance(error, asyncpg.UniqueViolationError) and not look:
                deps.repeats.found()
                look = True
            elif len(sends) == 1:
                log.error("message_refused_by_postgres", sqlstate=error.sqlstate)
                return [RowFaultError(type(error).__name__)]
            else:
                break
    outcomes: list[Decision | RowFaultError] = []
    for send in sends:
        outcomes.extend(await _send_locked(deps, [send]))
    return outcomes


async def _send_batch(deps: SendDeps, sends: Sequence[NewMessage], *, look: bool) -> list[Decision]:
    async with deps.pool.acquire() as conn:
        async with conn.transaction():
            batch = await send_in_transaction(conn, sends, deps.clock.now(), deps.window, look=look)
        deps.outbox.publish_soon(realtime=batch.realtime, bus=batch.bus)
    deps.gates.keep(batch.gates)
    if batch.repeats:
        deps.repeats.found()
    return batch.decisions


async def send_in_transaction(
    conn: Executor, sends: Sequence[NewMessage], now: datetime, window: timedelta, *, look: bool = True
) -> Batch:
    """Decides and writes a batch inside the caller's transaction.

    Raises:
        asyncpg.UniqueViolationError: not told to `look`, and one was stored before; the transaction is lost.
    """
    gates = await store.lock_gates(conn, [send.conversation_id for send in sends])
    replied = await store.find_replied(conn, sends)
    batch = Batch() if look else decide_batch(sends, gates, {}, replied, now, window)
    if look or batch.refuses:
        duplicates = await store.find_duplicates(conn, sends)
        batch = decide_batch(sends, gates, duplicates, replied, now, window)
    if batch.placed:
        await store.place_messages(
            conn,
            messages=batch.placed,
            gates=list(batch.gates.values()),
            unread_added=batch.unread,
            realtime=batch.realtime,
            bus=batch.bus,
        )
    return batch
