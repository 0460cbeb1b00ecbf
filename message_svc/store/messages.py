"""Messages: what a send and a change write, and how they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from message_svc.codec import gate_from_bytes
from message_svc.domain import (
    GateSnapshot,
    HeldGate,
    NewMessage,
    StoredMessage,
)
from message_svc.store.rows import links_json, q, stored_message, told_json
from servicekit.db import Executor
from servicekit.outbox import BusEvent, RealtimeEvent, bus_rows, realtime_rows


async def find_duplicates(
    conn: Executor, sends: Sequence[NewMessage]
) -> dict[tuple[UUID, str, str], StoredMessage]:
    """Messages stored before under the sends' client ids. In a later statement than `lock_gates`."""
    rows = await q.find_duplicates.fetch(
        conn,
        [send.conversation_id for send in sends],
        [send.sender_id for send in sends],
        [send.client_message_id for send in sends],
    )
    found = [stored_message(row) for row in rows]
    return {(m.conversation_id, m.sender_id, m.client_message_id): m for m in found}


async def find_replied(conn: Executor, sends: Sequence[NewMessage]) -> set[tuple[UUID, UUID]]:
    """(conversation, message) of the answered messages that exist; one that does exists for good."""
    wanted = [(send.conversation_id, send.reply_to_id) for send in sends if send.reply_to_id is not None]
    if not wanted:
        return set()
    rows = await q.find_replied.fetch(conn, [one[0] for one in wanted], [one[1] for one in wanted])
    return {(row["conversation_id"], row["id"]) for row in rows}


async def place_messages(
    conn: Executor,
    *,
    messages: Sequence[StoredMessage],
    gates: Sequence[HeldGate],
    unread_added: dict[tuple[str, UUID], int],
    realtime: Sequence[RealtimeEvent],
    bus: Sequence[BusEvent],
) -> None:
    """Writes a batch of accepted messages and all that follows from them, in one statement.

    `gates` are those of the messages, as they stand after the batch; `unread_added` has a count for every
    present member of them, 0 included, since activity moves for everyone.
    """
    await q.place_messages.execute(conn, *_placed(messages, gates, unread_added, realtime, bus))


async def place_unless_moved(
    conn: Executor,
    expected: Mapping[UUID, HeldGate],
    *,
    messages: Sequence[StoredMessage],
    gates: Sequence[HeldGate],
    unread_added: dict[tuple[str, UUID], int],
    realtime: Sequence[RealtimeEvent],
    bus: Sequence[BusEvent],
) -> set[UUID]:
    """As `place_messages`, of conversations whose gates stand as `expected`. Returns the others.

    Needs no transaction, and takes the gates' locks in the order of their ids.
    """
    gates = sorted(gates, key=lambda gate: gate.snapshot.conversation_id)
    before = [expected[gate.snapshot.conversation_id] for gate in gates]
    rows = await q.place_unless_moved.fetch(
        conn,
        *_placed(messages, gates, unread_added, realtime, bus),
        [gate.snapshot.gate_version for gate in before],
        [gate.last_seq for gate in before],
        [gate.last_change for gate in before],
    )
    return {row["id"] for row in rows}


def _placed(
    messages: Sequence[StoredMessage],
    gates: Sequence[HeldGate],
    unread_added: dict[tuple[str, UUID], int],
    realtime: Sequence[RealtimeEvent],
    bus: Sequence[BusEvent],
) -> tuple[object, ...]:
    """What the two statements write, as their first arguments."""
    last_at = {gate.snapshot.conversation_id: gate.last_at for gate in gates}
    members = list(unread_added)
    return (
        [m.conversation_id for m in messages],
        [m.seq for m in messages],
        [m.change_seq for m in messages],
        [m.id for m in messages],
        [m.sender_id for m in messages],
        [m.client_message_id for m in messages],
        [m.kind for m in messages],
        [m.text for m in messages],
        [m.body_hash for m in messages],
        [m.created_at for m in messages],
        [gate.snapshot.conversation_id for gate in gates],
        [gate.last_seq for gate in gates],
        [gate.last_change for gate in gates],
        [gate.last_at for gate in gates],
        [user_id for user_id, _ in members],
        [conversation_id for _, conversation_id in members],
        [unread_added[member] for member in members],
        [last_at[conversation_id] for _, conversation_id in members],
        realtime_rows(realtime),
        bus_rows(bus),
        [m.reply_to_id for m in messages],
        [links_json(m) for m in messages],
        [told_json(gate.told) for gate in gates],
    )


async def find_message(conn: Executor, conversation_id: UUID, message_id: UUID) -> StoredMessage | None:
    """A message by its id. Under the gate's lock, in a later statement."""
    row = await q.find_message.fetchrow(conn, conversation_id, message_id)
    return None if row is None else stored_message(row)


async def find_linked(conn: Executor, ids: Sequence[UUID]) -> list[StoredMessage]:
    """Messages with links, by conversation and number. Under the gates' locks."""
    return [stored_message(row) for row in await q.find_linked.fetch(conn, ids)]


async def change_messages(
    conn: Executor,
    *,
    messages: Sequence[StoredMessage],
    gates: Sequence[HeldGate],
    redacted: Sequence[StoredMessage],
    at: datetime,
) -> None:
    """Writes changed messages and all that follows from them, in one statement.

    `gates` are those of the messages, as they stand after it; `redacted` those whose text went with
    this change, at most one a conversation.
    """
    present = [
        (user_id, gate.snapshot.conversation_id) for gate in gates for user_id in gate.snapshot.present
    ]
    await q.change_messages.execute(
        conn,
        [m.conversation_id for m in messages],
        [m.seq for m in messages],
        [m.change_seq for m in messages],
        [m.text for m in messages],
        [links_json(m) for m in messages],
        [m.edited_at for m in messages],
        [m.redacted_at for m in messages],
        [m.redacted_by for m in messages],
        [gate.snapshot.conversation_id for gate in gates],
        [gate.last_change for gate in gates],
        [user_id for user_id, _ in present],
        [conversation_id for _, conversation_id in present],
        at,
        [m.conversation_id for m in redacted],
        [m.seq for m in redacted],
        [m.sender_id for m in redacted],
    )


async def count_bodies_owed(conn: Executor, message: StoredMessage, own: Sequence[UUID]) -> int:
    """Events of a message in the outbox, but for those in `own`."""
    count: int = await q.count_bodies_owed.fetchval(conn, message.conversation_id, str(message.id), own)
    return count


async def wait_for_relay(
    conn: Executor, message: StoredMessage, own: Sequence[UUID], since: timedelta
) -> None:
    """Returns when no relay publishes an event of the message that it read longer than `since` ago."""
    await q.wait_for_relay.execute(conn, message.conversation_id, str(message.id), own, since)


async def read_gate(conn: Executor, user_id: str, conversation_id: UUID) -> HeldGate | None:
    """The gate, not locked; None when the person may not read the conversation."""
    row = await q.is_member.fetchrow(conn, user_id, conversation_id)
    if row is None:
        return None
    return HeldGate(gate_from_bytes(row["snapshot"]), row["last_seq"], row["last_change"], None)


async def list_before(conn: Executor, conversation_id: UUID, seq: int, limit: int) -> list[StoredMessage]:
    """At most `limit` messages before `seq`, ascending."""
    rows = await q.list_before.fetch(conn, conversation_id, seq, limit)
    return [stored_message(row) for row in reversed(rows)]


async def list_after(conn: Executor, conversation_id: UUID, seq: int, limit: int) -> list[StoredMessage]:
    """At most `limit` messages after `seq`, ascending."""
    return [stored_message(row) for row in await q.list_after.fetch(conn, conversation_id, seq, limit)]


async def list_changes(
    conn: Executor, conversation_id: UUID, change_seq: int, limit: int
) -> list[StoredMessage]:
    """At most `limit` messages changed after `change_seq`, in the order of their changes."""
    return [
        stored_message(row) for row in await q.list_changes.fetch(conn, conversation_id, change_seq, limit)
    ]


async def get_messages_for_member(
    conn: Executor, user_id: str, keys: Sequence[tuple[UUID, int]]
) -> list[StoredMessage]:
    """Messages by conversation and number, as the person may see them; others are left out."""
    rows = await q.get_messages_for_member.fetch(
        conn, user_id, [key[0] for key in keys], [key[1] for key in keys]
    )
    return [
        stored_message(row).shown_to(gate_from_bytes(row["gate_snapshot"]).rights.get(user_id))
        for row in rows
    ]


async def get_messages(
    conn: Executor, keys: Sequence[tuple[UUID, int]]
) -> dict[tuple[UUID, int], tuple[StoredMessage, GateSnapshot]]:
    """Messages by conversation and number, each with its gate."""
    rows = await q.get_messages.fetch(conn, [key[0] for key in keys], [key[1] for key in keys])
    found = [(stored_message(row), gate_from_bytes(row["gate_snapshot"])) for row in rows]
    return {(m.conversation_id, m.seq): (m, gate) for m, gate in found}
