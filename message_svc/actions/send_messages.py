"""Stores messages: locks the gates, reads what else decides, decides, writes.

A single send is a batch of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import asyncpg
import structlog

from message_svc import events, store
from message_svc.domain import Decision, HeldGate, NewMessage, Placed, StoredMessage, decide
from servicekit.clock import Clock
from servicekit.db import Executor
from servicekit.outbox import BusEvent, Outbox, RealtimeEvent

log = structlog.get_logger(__name__)


class RowFaultError(Exception):
    """One message of a batch could not be written, for a reason that lies in itself."""


@dataclass(slots=True)
class Batch:
    """What a batch decided and what it owes to the sinks once it is committed."""

    decisions: list[Decision] = field(default_factory=list)
    realtime: list[RealtimeEvent] = field(default_factory=list)
    bus: list[BusEvent] = field(default_factory=list)


async def send_messages(
    pool: asyncpg.Pool, outbox: Outbox, clock: Clock, sends: Sequence[NewMessage]
) -> list[Decision | RowFaultError]:
    """Stores a batch in one transaction; outcomes in the order of `sends`.

    A row that Postgres refuses makes the batch fall back to singles, so that it harms no other.

    Raises:
        asyncpg.PostgresError, OSError: Postgres is away or the transaction was lost: nothing is acknowledged.
    """
    try:
        return list(await _send_batch(pool, outbox, clock, sends))
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
        if len(sends) == 1:
            log.error("message_refused_by_postgres", sqlstate=error.sqlstate)
            return [RowFaultError(type(error).__name__)]
    outcomes: list[Decision | RowFaultError] = []
    for send in sends:
        outcomes.extend(await send_messages(pool, outbox, clock, [send]))
    return outcomes


async def _send_batch(
    pool: asyncpg.Pool, outbox: Outbox, clock: Clock, sends: Sequence[NewMessage]
) -> list[Decision]:
    async with pool.acquire() as conn:
        async with conn.transaction():
            batch = await send_in_transaction(conn, sends, clock.now())
        outbox.publish_soon(realtime=batch.realtime, bus=batch.bus)
    return batch.decisions


async def send_in_transaction(conn: Executor, sends: Sequence[NewMessage], now: datetime) -> Batch:
    """Decides and writes a batch inside the caller's transaction."""
    gates = await store.lock_gates(conn, [send.conversation_id for send in sends])
    duplicates = await store.find_duplicates(conn, sends)
    replied = await store.find_replied(conn, sends)
    batch = Batch()
    placed: list[StoredMessage] = []
    moved: dict[UUID, HeldGate] = {}
    unread: dict[tuple[str, UUID], int] = {}
    for send in sends:
        key = (send.conversation_id, send.sender_id, send.client_message_id)
        gate = moved.get(send.conversation_id) or gates.get(send.conversation_id)
        answers = (send.conversation_id, send.reply_to_id) in replied
        decision = decide(send, gate, duplicates.get(key), now, reply_exists=answers)
        batch.decisions.append(decision)
        if not isinstance(decision, Placed):
            continue
        duplicates[key] = decision.message  # a later send of the same batch may repeat it
        placed.append(decision.message)
        moved[send.conversation_id] = decision.gate
        _owe_events(batch, decision, send.traceparent)
        for user_id in decision.gate.snapshot.present:
            member = (user_id, send.conversation_id)
            unread[member] = unread.get(member, 0) + (user_id != send.sender_id)
    if placed:
        await store.place_messages(
            conn,
            messages=placed,
            gates=list(moved.values()),
            unread_added=unread,
            realtime=batch.realtime,
            bus=batch.bus,
        )
    return batch


def _owe_events(batch: Batch, placed: Placed, traceparent: str | None) -> None:
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
    owed: tuple[RealtimeEvent | BusEvent, ...] = (*realtime, *bus)
    for event in owed:
        event.traceparent = traceparent  # each its own: the sends of a batch come from many traces
    batch.realtime += realtime
    batch.bus += bus
