"""Stores messages: locks the gates, decides, writes.

A single send is a batch of one. Whether a message was stored before is asked only when that is likely, or
decides something (ADR 0036): the table's key refuses a second one under the same client id, and then the
batch is decided again with what was found.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import structlog

from message_svc import events, store
from message_svc.domain import Decision, HeldGate, NewMessage, Placed, Refused, StoredMessage, decide, tell
from servicekit.clock import Clock
from servicekit.db import Executor
from servicekit.outbox import BusEvent, Outbox, RealtimeEvent

log = structlog.get_logger(__name__)


class RowFaultError(Exception):
    """One message of a batch could not be written, for a reason that lies in itself."""


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


@dataclass(slots=True)
class Batch:
    """What a batch decided, what it writes, and what it owes to the sinks once it is committed."""

    decisions: list[Decision] = field(default_factory=list)
    realtime: list[RealtimeEvent] = field(default_factory=list)
    bus: list[BusEvent] = field(default_factory=list)
    placed: list[StoredMessage] = field(default_factory=list)
    gates: dict[UUID, HeldGate] = field(default_factory=dict)
    """Those of `placed` as they stand afterwards."""
    unread: dict[tuple[str, UUID], int] = field(default_factory=dict)
    """What is added for each present member of these gates, 0 for whoever wrote."""
    repeats: bool = False
    """Some of the messages were stored before."""

    @property
    def refuses(self) -> bool:
        """Whether a message is refused, which one that was stored before would not be."""
        return any(isinstance(decision, Refused) for decision in self.decisions)


async def send_messages(
    pool: asyncpg.Pool,
    outbox: Outbox,
    clock: Clock,
    sends: Sequence[NewMessage],
    *,
    repeats: Repeats,
    window: timedelta,
) -> list[Decision | RowFaultError]:
    """Stores a batch in one transaction; outcomes in the order of `sends`.

    `window` is how long the bus hears no more of somebody who wrote (see `domain.tell`).

    A row that Postgres refuses makes the batch fall back to singles, so that it harms no other.

    Raises:
        asyncpg.PostgresError, OSError: Postgres is away or the transaction was lost: nothing is acknowledged.
    """
    look = repeats.expected()
    while True:
        try:
            return list(await _send_batch(pool, outbox, clock, sends, repeats, window, look=look))
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
            if isinstance(error, asyncpg.UniqueViolationError) and not look:
                repeats.found()
                look = True
            elif len(sends) == 1:
                log.error("message_refused_by_postgres", sqlstate=error.sqlstate)
                return [RowFaultError(type(error).__name__)]
            else:
                break
    outcomes: list[Decision | RowFaultError] = []
    for send in sends:
        outcomes.extend(await send_messages(pool, outbox, clock, [send], repeats=repeats, window=window))
    return outcomes


async def _send_batch(
    pool: asyncpg.Pool,
    outbox: Outbox,
    clock: Clock,
    sends: Sequence[NewMessage],
    repeats: Repeats,
    window: timedelta,
    *,
    look: bool,
) -> list[Decision]:
    async with pool.acquire() as conn:
        async with conn.transaction():
            batch = await send_in_transaction(conn, sends, clock.now(), window, look=look)
        outbox.publish_soon(realtime=batch.realtime, bus=batch.bus)
    if batch.repeats:
        repeats.found()
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
    batch = Batch() if look else _decide(sends, gates, {}, replied, now, window)
    if look or batch.refuses:
        duplicates = await store.find_duplicates(conn, sends)
        batch = _decide(sends, gates, duplicates, replied, now, window)
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


def _decide(
    sends: Sequence[NewMessage],
    gates: Mapping[UUID, HeldGate],
    stored: Mapping[tuple[UUID, str, str], StoredMessage],
    replied: set[tuple[UUID, UUID]],
    now: datetime,
    window: timedelta,
) -> Batch:
    batch = Batch(repeats=bool(stored))
    duplicates = dict(stored)
    for send in sends:
        key = (send.conversation_id, send.sender_id, send.client_message_id)
        gate = batch.gates.get(send.conversation_id) or gates.get(send.conversation_id)
        answers = (send.conversation_id, send.reply_to_id) in replied
        decision = decide(send, gate, duplicates.get(key), now, reply_exists=answers)
        batch.decisions.append(decision)
        if not isinstance(decision, Placed):
            continue
        duplicates[key] = decision.message  # a later send of the same batch may repeat it
        batch.placed.append(decision.message)
        batch.gates[send.conversation_id] = _owe_events(batch, decision, send.traceparent, window)
        for user_id in decision.gate.snapshot.present:
            member = (user_id, send.conversation_id)
            batch.unread[member] = batch.unread.get(member, 0) + (user_id != send.sender_id)
    return batch


def _owe_events(batch: Batch, placed: Placed, traceparent: str | None, window: timedelta) -> HeldGate:
    """Notes what the message owes; the gate as it stands then."""
    message, snapshot = placed.message, placed.gate.snapshot
    realtime: list[RealtimeEvent] = []
    bus: list[BusEvent] = []
    if message.seq == 1:
        opened, opened_bus = events.conversation_opened(snapshot, message.sender_id, message.created_at)
        realtime.append(opened)
        if opened_bus is not None:
            bus.append(opened_bus)
    shown = events.links_shown(snapshot, message)
    created, created_bus = events.message_created(shown, snapshot.present)
    realtime.append(created)
    bus.append(created_bus)
    gate = placed.gate
    told = tell(gate.told, message.sender_id, message.created_at, window)
    if told is not gate.told:
        gate = replace(gate, told=told)
        bus.append(events.conversation_written(message, told.until + window))
    owed: tuple[RealtimeEvent | BusEvent, ...] = (*realtime, *bus)
    for event in owed:
        event.traceparent = traceparent  # each its own: the sends of a batch come from many traces
    batch.realtime += realtime
    batch.bus += bus
    return gate
