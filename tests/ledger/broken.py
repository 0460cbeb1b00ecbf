"""message_svc (`serve`) or conversation_svc's worker (`worker`), broken on purpose by BROKEN_BUILD.

`BROKEN_BUILD=<name> python -m tests.ledger.broken serve`. Each build breaks one promise in a way that a real
mistake would, and the ledger must see it; but for two that only take their time or repeat themselves.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any
from unittest.mock import patch
from uuid import UUID

from conversation_svc import __main__ as conversation_svc
from message_svc import __main__ as message_svc
from message_svc import events, store
from message_svc.actions import send_messages
from message_svc.actions.remembered_gates import RememberedGates
from message_svc.domain import Decision, GateSnapshot, HeldGate, NewMessage, Placed, StoredMessage
from servicekit.bus import BusPublisher
from servicekit.consumer import consumed, work
from servicekit.db import Executor
from servicekit.outbox import BusEvent, Outbox, RealtimeEvent

MODULE = "tests.ledger.broken"
# Far above what lies between an answer and the next act of somebody, on a loaded machine too.
LATER_SECONDS = 1.5
_later: set[asyncio.Task[Any]] = set()


def _soon(task: asyncio.Task[Any]) -> None:
    _later.add(task)
    task.add_done_callback(_later.discard)


def acknowledged_before_commit(stack: ExitStack) -> None:
    """The answer is given when the rows are written, some time before they are committed.

    To one send at a time: so the others go on, and whenever the process is killed one is waiting.
    """
    whole = send_messages._send_batch
    waits = False

    async def early(
        deps: send_messages.SendDeps, sends: Sequence[NewMessage], *, look: bool
    ) -> list[Decision]:
        nonlocal waits
        if waits:
            return await whole(deps, sends, look=look)
        waits = True
        decided: asyncio.Future[list[Decision]] = asyncio.get_running_loop().create_future()

        async def write() -> None:
            nonlocal waits
            try:
                async with deps.pool.acquire() as conn:
                    async with conn.transaction():
                        batch = await send_messages.send_in_transaction(
                            conn, sends, deps.clock.now(), deps.window, look=look
                        )
                        decided.set_result(batch.decisions)
                        if any(isinstance(decision, Placed) for decision in batch.decisions):
                            await asyncio.sleep(LATER_SECONDS)
                    deps.outbox.publish_soon(realtime=batch.realtime, bus=batch.bus)
            except Exception as error:
                if decided.done():
                    raise
                decided.set_exception(error)
            finally:
                waits = False

        _soon(asyncio.create_task(write()))
        return await decided

    stack.enter_context(patch.object(send_messages, "_send_batch", early))


def repeats_stored_again(stack: ExitStack) -> None:
    """Nobody looks whether a client id was there before. (The table's constraint must be gone, too.)"""

    async def nothing(_conn: Executor, _sends: Sequence[NewMessage]) -> dict[Any, Any]:
        return {}

    stack.enter_context(patch.object(store, "find_duplicates", nothing))


def numbers_from_a_sequence(stack: ExitStack) -> None:
    """Each send takes a number first, and one that is not stored does not give it back."""
    whole = store.lock_gates
    taken: dict[UUID, int] = {}

    async def take_number(conn: Executor, ids: Iterable[UUID]) -> dict[UUID, HeldGate]:
        gates = await whole(conn, ids)
        for key, gate in gates.items():
            number = max(taken.get(key, 0), gate.last_seq)
            taken[key] = number + 1
            gates[key] = replace(gate, last_seq=number)
        return gates

    stack.enter_context(patch.object(store, "lock_gates", take_number))


def counted_later(stack: ExitStack) -> None:
    """Unread counts are raised after the send's transaction, in one of their own.

    And lowered there after a redaction: one that meets a count which is too low would not be stored at all.
    """
    place, change, send = store.place_messages, store.change_messages, send_messages._send_batch
    waiting: list[tuple[str, UUID, int]] = []
    redactions: list[tuple[UUID, str, int]] = []

    async def place_uncounted(
        conn: Executor, *, unread_added: dict[tuple[str, UUID], int], **rest: Any
    ) -> None:
        waiting.extend((*member, count) for member, count in unread_added.items() if count)
        await place(conn, unread_added=dict.fromkeys(unread_added, 0), **rest)

    async def change_uncounted(conn: Executor, *, redacted: Sequence[StoredMessage], **rest: Any) -> None:
        redactions.extend((gone.conversation_id, gone.sender_id, gone.seq) for gone in redacted)
        await change(conn, redacted=[], **rest)

    async def send_then_count(
        deps: send_messages.SendDeps, sends: Sequence[NewMessage], *, look: bool
    ) -> list[Decision]:
        decisions = await send(deps, sends, look=look)
        counts, lowered = waiting[:], redactions[:]
        waiting.clear()
        redactions.clear()

        async def count() -> None:
            await asyncio.sleep(LATER_SECONDS)
            async with deps.pool.acquire() as conn:
                await conn.executemany(
                    "UPDATE member SET unread = unread + $3 WHERE user_id = $1 AND conversation_id = $2",
                    counts,
                )
                await conn.executemany(
                    "UPDATE member SET unread = greatest(0, unread - 1)"
                    " WHERE conversation_id = $1 AND user_id <> $2 AND last_read_seq < $3",
                    lowered,
                )

        _soon(asyncio.create_task(count()))
        return decisions

    stack.enter_context(patch.object(store, "place_messages", place_uncounted))
    stack.enter_context(patch.object(store, "change_messages", change_uncounted))
    stack.enter_context(patch.object(send_messages, "_send_batch", send_then_count))


def left_to_the_relay(stack: ExitStack) -> None:
    """Nothing is published at once. That is no mistake: it only takes longer."""

    def leave(_self: Outbox, **_events: Sequence[object]) -> None:
        """The rows are there."""

    stack.enter_context(patch.object(Outbox, "publish_soon", leave))


def no_relay(stack: ExitStack) -> None:
    """Nor does the relay do what the immediate publish left."""
    left_to_the_relay(stack)

    async def wait(_self: Outbox, stop: asyncio.Event) -> None:
        await stop.wait()

    stack.enter_context(patch.object(Outbox, "run_relay", wait))


def blocks_forgotten(stack: ExitStack) -> None:
    """A push after which nobody may write is acknowledged and not applied."""
    whole = store.raise_gates

    async def forget(conn: Executor, gates: Sequence[GateSnapshot]) -> None:
        await whole(conn, [gate for gate in gates if any(rights.can_send for rights in gate.rights.values())])

    stack.enter_context(patch.object(store, "raise_gates", forget))


def told_to_others(stack: ExitStack) -> None:
    """Who is told of a message is added to who was told of the one before it."""
    whole = events.message_created
    told: set[str] = set()

    def tell(
        message: StoredMessage, recipients: Sequence[str], traceparent: str | None
    ) -> tuple[RealtimeEvent, BusEvent]:
        told.update(recipients)
        return whole(message, sorted(told), traceparent)

    stack.enter_context(patch.object(events, "message_created", tell))


def read_from_a_cache(stack: ExitStack) -> None:
    """Pages of messages come from a cache that a redaction does not empty."""
    find = store.find_message
    cached: dict[UUID, StoredMessage] = {}

    async def find_and_keep(conn: Executor, conversation: UUID, message: UUID) -> StoredMessage | None:
        found = await find(conn, conversation, message)
        if found is not None and found.redacted_at is None:
            cached[found.id] = found
        return found

    def from_cache(read: Callable[..., Awaitable[list[StoredMessage]]]) -> Any:
        async def cached_read(*arguments: Any) -> list[StoredMessage]:
            return [
                message if message.redacted_at is None else cached.get(message.id, message)
                for message in await read(*arguments)
            ]

        return cached_read

    stack.enter_context(patch.object(store, "find_message", find_and_keep))
    for name in ("list_before", "list_after", "list_changes"):
        stack.enter_context(patch.object(store, name, from_cache(getattr(store, name))))


def told_twice(stack: ExitStack) -> None:
    """Each event reaches RabbitMQ twice. That is no mistake: it may do so, and consumers know."""
    whole = BusPublisher.publish

    async def publish(self: BusPublisher, events: Sequence[BusEvent]) -> Mapping[UUID, str]:
        await whole(self, events)
        return await whole(self, events)

    stack.enter_context(patch.object(BusPublisher, "publish", publish))


def consumed_again(stack: ExitStack) -> None:
    """The worker notes which events it has consumed, and does not look."""
    whole = consumed.mark_consumed

    async def mark(conn: Executor, name: str, event_ids: Sequence[UUID]) -> set[UUID]:
        await whole(conn, name, event_ids)
        return set(event_ids)

    stack.enter_context(patch.object(work, "mark_consumed", mark))


BUILDS: Mapping[str, Callable[[ExitStack], None]] = {
    build.__name__: build
    for build in (
        acknowledged_before_commit,
        repeats_stored_again,
        numbers_from_a_sequence,
        counted_later,
        left_to_the_relay,
        no_relay,
        blocks_forgotten,
        told_to_others,
        read_from_a_cache,
        told_twice,
        consumed_again,
    )
}

if __name__ == "__main__":
    with ExitStack() as broken:
        BUILDS[os.environ["BROKEN_BUILD"]](broken)
        # The way of a send that is broken is the one of locks.
        broken.enter_context(patch.object(RememberedGates, "take", lambda _self, _sends: {}))
        (conversation_svc if "worker" in sys.argv else message_svc).cli()
