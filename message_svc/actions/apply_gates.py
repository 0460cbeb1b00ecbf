"""Applies pushed gates: from the commit on, every send is decided by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import asyncpg

from message_svc import events, store
from message_svc.domain import (
    Folder,
    GateSnapshot,
    HeldGate,
    MemberRow,
    Rights,
    StoredMessage,
    apply_rights,
    renumber,
)
from servicekit.clock import Clock
from servicekit.db import Executor
from servicekit.outbox import Outbox, RealtimeEvent


@dataclass(frozen=True, slots=True)
class Held:
    """What is held for a conversation after a push."""

    conversation_id: UUID
    gate_version: int
    differs: bool
    """At the pushed version with other content."""
    opened: bool
    """Whether its first message is stored."""


async def apply_gates(
    pool: asyncpg.Pool, outbox: Outbox, clock: Clock, gates: Sequence[GateSnapshot]
) -> list[Held]:
    """Applies gates in one transaction and says what is held now, in the order of `gates`."""
    async with pool.acquire() as conn:
        async with conn.transaction():
            held, owed = await apply_in_transaction(conn, gates, clock.now())
            await outbox.add(conn, realtime=owed)
        outbox.publish_soon(realtime=owed)
    return held


async def apply_in_transaction(
    conn: Executor, gates: Sequence[GateSnapshot], now: datetime
) -> tuple[list[Held], list[RealtimeEvent]]:
    """Applies gates inside the caller's transaction.

    Returns what is held, and the events it owes (receipts now shared, links now alive), for the outbox.
    """
    before = await store.lock_gates_for_push(conn, [gate.conversation_id for gate in gates])
    newer: list[tuple[GateSnapshot, HeldGate]] = []
    held = []
    for gate in gates:
        old = before[gate.conversation_id]
        if old is None or gate.gate_version > old.snapshot.gate_version:
            counters = (old.last_seq, old.last_change, old.last_at) if old else (0, 0, None)
            newer.append((gate, HeldGate(gate, *counters)))
            held.append(Held(gate.conversation_id, gate.gate_version, differs=False, opened=counters[0] > 0))
        else:
            version = old.snapshot.gate_version
            differs = version == gate.gate_version and old.snapshot.raw != gate.raw
            held.append(Held(gate.conversation_id, version, differs, opened=old.last_seq > 0))
    if not newer:
        return held, []
    await store.raise_gates(conn, [gate for gate, _ in newer])
    owed = await _apply_to_members(conn, [after for _, after in newer], before, now)
    freed = [after for gate, after in newer if _frees_links(gate, before)]
    owed += await _bring_links_alive(conn, freed, now)
    return held, owed


def _frees_links(gate: GateSnapshot, before: Mapping[UUID, HeldGate | None]) -> bool:
    old = before[gate.conversation_id]
    return old is not None and gate.all_follow_links and not old.snapshot.all_follow_links


async def _bring_links_alive(conn: Executor, gates: Sequence[HeldGate], now: datetime) -> list[RealtimeEvent]:
    """Links were inert; from now on each message that has any is another to its readers: a change of it."""
    linked = await store.find_linked(conn, [gate.snapshot.conversation_id for gate in gates]) if gates else []
    if not linked:
        return []
    changed: list[StoredMessage] = []
    moved: list[HeldGate] = []
    owed: list[RealtimeEvent] = []
    for gate in gates:
        own = [message for message in linked if message.conversation_id == gate.snapshot.conversation_id]
        if own:
            after, renumbered = renumber(gate, own)
            moved.append(after)
            changed += renumbered
            owed += [events.message_updated(message, gate.snapshot.present, now) for message in renumbered]
    await store.change_messages(conn, messages=changed, gates=moved, redacted=[], at=now)
    return owed


async def _apply_to_members(
    conn: Executor, gates: Sequence[HeldGate], held: Mapping[UUID, HeldGate | None], now: datetime
) -> list[RealtimeEvent]:
    all_rights = [_with_unnamed(gate.snapshot, held[gate.snapshot.conversation_id]) for gate in gates]
    keys = [
        (rights.user_id, gate.snapshot.conversation_id)
        for gate, members in zip(gates, all_rights, strict=True)
        for rights in members
    ]
    old = await store.lock_members(conn, keys)
    rows: list[MemberRow] = []
    owed: list[RealtimeEvent] = []
    for gate, members in zip(gates, all_rights, strict=True):
        snapshot = gate.snapshot
        own: list[MemberRow] = []
        receipts: list[RealtimeEvent] = []
        curious: list[str] = []  # those who hid and so saw nothing, until now
        for rights in members:
            before = old.get((rights.user_id, snapshot.conversation_id))
            change = apply_rights(before, rights, gate, now)
            own.append(change.row)
            if before is not None and before.receipts_hidden and not rights.receipts_hidden:
                curious.append(rights.user_id)
            if change.reveals_receipt:
                receipts += _receipts(snapshot, change.row, snapshot.who_see_receipts, now)
        for row in own:
            receipts += _receipts(snapshot, row, curious, now)
        # A receipt is a change for those who get it.
        told = {user_id for receipt in receipts for user_id in receipt.recipients}
        rows += [
            replace(row, changed_at=max(now, row.changed_at)) if row.user_id in told else row for row in own
        ]
        owed += receipts
    await store.put_members(conn, rows)
    return owed


def _with_unnamed(gate: GateSnapshot, held: HeldGate | None) -> list[Rights]:
    """Everybody's rights: whoever the gate held so far names and this one does not is as one who left."""
    before = held.snapshot.rights if held is not None else {}
    gone = [rights for user_id, rights in before.items() if user_id not in gate.rights]
    return [
        *gate.rights.values(),
        *(replace(rights, left=True, folder=Folder.NONE, shares_receipts=False) for rights in gone),
    ]


def _receipts(gate: GateSnapshot, row: MemberRow, to: Sequence[str], now: datetime) -> list[RealtimeEvent]:
    """How far somebody has read, to those of `to` who are others; nothing when they share nothing."""
    others = [user_id for user_id in to if user_id != row.user_id]
    if not others or row.shared_read_seq is None or row.receipts_hidden or row.left_at is not None:
        return []
    return [events.read_receipt(gate.conversation_id, row.user_id, row.shared_read_seq, others, now)]
