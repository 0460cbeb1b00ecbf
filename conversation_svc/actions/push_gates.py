"""Pushes gates to message_svc, and lets the events of a change go once it is enforced."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import structlog

from conversation_svc import events, store
from conversation_svc.actions.deps import Deps
from conversation_svc.domain import Gate, Held, Situation, compute_gate
from conversation_svc.messages import MOST_GATES
from servicekit.db import Executor
from servicekit.errors import ChatError, Reason
from servicekit.outbox import BusEvent, RealtimeEvent

log = structlog.get_logger(__name__)

# A gate that message_svc holds otherwise than we computed it is raised and pushed again; once is the rule.
_ROUNDS = 3


async def save_change(
    deps: Deps,
    conn: Executor,
    situations: Sequence[Situation],
    owed: Sequence[events.Owed],
    now: datetime,
    *,
    opening: bool = False,
) -> list[RealtimeEvent | BusEvent]:
    """Writes a change of rights and what it owes, in its transaction, under the conversations' locks.

    Returns the events that wait for nothing: they stand in the outbox, to be published after the commit.
    """
    if situations:
        await store.save_situations(conn, situations, deps.push_due_at(now), opening=opening)
    waiting = [each for each in owed if each.waits]
    if waiting:
        waits = [
            (each.event.event_id, conversation_id, version)
            for each in waiting
            for conversation_id, version in each.waits.items()
        ]
        await store.add_owed_events(conn, events.owed_rows(waiting), waits)
    ripe = [each.event for each in owed if not each.waits]
    await _add_to_outbox(deps, conn, ripe)
    return ripe


async def owed_gates(conn: Executor, ids: Sequence[UUID]) -> list[Gate]:
    """Gates of those whose push is owed, computed under their locks."""
    return [
        compute_gate(each)
        for each in await store.get_situations(conn, ids)
        if each.conversation.gate_pushed < each.conversation.gate_version
    ]


async def push_gates(deps: Deps, gates: Sequence[Gate]) -> None:
    """Returns when message_svc holds all of them, or something newer.

    Raises:
        ChatError: UNAVAILABLE. The change stays committed; a repeat or the sweeper completes it.
    """
    try:
        await apply_gates(deps, gates)
    except ChatError as error:
        log.warning("push_not_confirmed", gates=len(gates), reason=error.reason.value)
        raise not_enforced() from error


async def apply_gates(deps: Deps, gates: Sequence[Gate]) -> None:
    """As push_gates, raising what message_svc answered."""
    for _ in range(_ROUNDS):
        again: list[Gate] = []
        for start in range(0, len(gates), MOST_GATES):
            chunk = gates[start : start + MOST_GATES]
            held = await deps.messages.apply_gates(chunk)
            again += await confirm_pushes(deps, held)
            pushed_again = {gate.conversation_id for gate in again}
            versions = {each.conversation_id: each.version for each in held}
            for gate in chunk:
                if versions.get(gate.conversation_id, 0) < gate.version and (
                    gate.conversation_id not in pushed_again
                ):
                    raise not_enforced()
        if not again:
            return
        gates = again
    raise not_enforced()


async def confirm_pushes(deps: Deps, held: Sequence[Held]) -> list[Gate]:
    """Records what message_svc holds and releases the events that waited for it.

    Returns gates to push again: those that it holds otherwise than we computed them.
    """
    ids = [each.conversation_id for each in held]
    now = deps.clock.now()
    again: list[Gate] = []
    async with deps.pool.acquire() as conn, conn.transaction():
        await store.lock_conversations(conn, ids)
        foreign = await store.confirm_pushes(conn, held)
        if foreign:
            log.warning("gates_raised", conversations=len(foreign))
            others = [each for each in held if each.conversation_id in foreign]
            await store.raise_gates(conn, others, deps.push_due_at(now))
            again = await owed_gates(conn, sorted(foreign))
        ripe = [events.from_owed_row(row) for row in await store.take_ripe_events(conn, ids)]
        await _add_to_outbox(deps, conn, ripe)
    await publish(deps, ripe)
    return again


async def publish(deps: Deps, ripe: Iterable[RealtimeEvent | BusEvent]) -> None:
    """Publishes events whose rows are committed to the outbox."""
    realtime, bus = _by_sink(ripe)
    if realtime or bus:
        rendered = await events.render(realtime)
        deps.outbox.publish_soon(realtime=[each for each in rendered if each is not None], bus=bus)


def not_enforced() -> ChatError:
    """Committed, but not enforced everywhere yet."""
    return ChatError(
        Reason.UNAVAILABLE, "The change is saved but not in force yet; try again.", retry_after_ms=1000
    )


async def _add_to_outbox(deps: Deps, conn: Executor, ripe: Iterable[RealtimeEvent | BusEvent]) -> None:
    realtime, bus = _by_sink(ripe)
    await deps.outbox.add(conn, realtime=realtime, bus=bus)


def _by_sink(ripe: Iterable[RealtimeEvent | BusEvent]) -> tuple[list[RealtimeEvent], list[BusEvent]]:
    realtime: list[RealtimeEvent] = []
    bus: list[BusEvent] = []
    for event in ripe:
        if isinstance(event, BusEvent):
            bus.append(event)
        else:
            realtime.append(event)
    return realtime, bus
