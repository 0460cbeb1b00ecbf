"""What a batch of sends comes to: decisions, rows to write, events owed. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from message_svc import events
from message_svc.domain import Decision, HeldGate, NewMessage, Placed, Refused, StoredMessage, decide, tell
from servicekit.outbox import BusEvent, RealtimeEvent


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

    def leave_out(self, conversations: Collection[UUID]) -> None:
        """Nothing was written of these: forgets their gates and what it would owe for them."""
        subjects = {str(conversation_id) for conversation_id in conversations}
        self.realtime = [event for event in self.realtime if event.conversation_id not in conversations]
        self.bus = [event for event in self.bus if event.subject not in subjects]
        for conversation_id in conversations:
            del self.gates[conversation_id]


def decide_batch(
    sends: Sequence[NewMessage],
    gates: Mapping[UUID, HeldGate],
    stored: Mapping[tuple[UUID, str, str], StoredMessage],
    replied: set[tuple[UUID, UUID]],
    now: datetime,
    window: timedelta,
) -> Batch:
    """Decides each send under its gate, in their order.

    `stored` holds those that are known to be stored, by conversation, sender and client id; `replied` the
    (conversation, message) of answered messages that exist; `window` is that of `domain.tell`.
    """
    batch = Batch(repeats=bool(stored))
    duplicates = dict(stored)
    for send in sends:
        key = (send.conversation_id, send.sender_id, send.client_message_id)
        gate = batch.gates.get(send.conversation_id) or gates.get(send.conversation_id)
        answers = send.reply_to_id is None or (send.conversation_id, send.reply_to_id) in replied
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
    """Notes what the message owes; the gate as it stands then.

    Each event is of its own send's trace: those of a batch come from many.
    """
    message, gate, snapshot = placed.message, placed.gate, placed.gate.snapshot
    if message.seq == 1:
        opened, opened_bus = events.conversation_opened(
            snapshot, message.sender_id, message.created_at, traceparent
        )
        batch.realtime.append(opened)
        if opened_bus is not None:
            batch.bus.append(opened_bus)
    shown = events.links_shown(snapshot, message)
    created, created_bus = events.message_created(shown, snapshot.present, traceparent)
    batch.realtime.append(created)
    batch.bus.append(created_bus)
    told = tell(gate.told, message.sender_id, message.created_at, window)
    if told is not gate.told:
        gate = replace(gate, told=told)
        batch.bus.append(events.conversation_written(message, told.until + window, traceparent))
    return gate
