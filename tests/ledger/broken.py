"""message_svc, broken on purpose: `BROKEN_BUILD=<name> python -m tests.ledger.broken serve`.

Each build breaks one promise in a way that a real mistake would; the ledger must see it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any
from unittest.mock import patch
from uuid import UUID

import asyncpg

from message_svc import __main__ as message_svc
from message_svc import store
from message_svc.actions import send_messages
from message_svc.domain import Decision, GateSnapshot, HeldGate, NewMessage
from servicekit.clock import Clock
from servicekit.db import Executor
from servicekit.outbox import Outbox

MODULE = "tests.ledger.broken"
_later: set[asyncio.Task[Any]] = set()


def _soon(task: asyncio.Task[Any]) -> None:
    _later.add(task)
    task.add_done_callback(_later.discard)


def acknowledged_before_commit(stack: ExitStack) -> None:
    """The answer is given when the rows are written, a moment before they are committed."""

    async def early(
        pool: asyncpg.Pool, outbox: Outbox, clock: Clock, sends: Sequence[NewMessage]
    ) -> list[Decision]:
        decided: asyncio.Future[list[Decision]] = asyncio.get_running_loop().create_future()

        async def write() -> None:
            try:
                async with pool.acquire() as conn:
                    async with conn.transaction():
                        batch = await send_messages.send_in_transaction(conn, sends, clock.now())
                        decided.set_result(batch.decisions)
                        await asyncio.sleep(0.1)
                    outbox.publish_soon(realtime=batch.realtime, bus=batch.bus)
            except Exception as error:
                if decided.done():
                    raise
                decided.set_exception(error)

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
    """Unread counts are raised after the send's transaction, in one of their own."""
    place, send = store.place_messages, send_messages._send_batch
    waiting: list[tuple[str, UUID, int]] = []

    async def place_uncounted(
        conn: Executor, *, unread_added: dict[tuple[str, UUID], int], **rest: Any
    ) -> None:
        waiting.extend((*member, count) for member, count in unread_added.items() if count)
        await place(conn, unread_added=dict.fromkeys(unread_added, 0), **rest)

    async def send_then_count(pool: asyncpg.Pool, *rest: Any) -> list[Decision]:
        decisions = await send(pool, *rest)
        counts = waiting[:]
        waiting.clear()

        async def count() -> None:
            await asyncio.sleep(0.2)
            await pool.executemany(
                "UPDATE member SET unread = unread + $3 WHERE user_id = $1 AND conversation_id = $2", counts
            )

        _soon(asyncio.create_task(count()))
        return decisions

    stack.enter_context(patch.object(store, "place_messages", place_uncounted))
    stack.enter_context(patch.object(send_messages, "_send_batch", send_then_count))


def no_relay(stack: ExitStack) -> None:
    """What the immediate publish leaves is left."""

    async def wait(_self: Outbox, stop: asyncio.Event) -> None:
        await stop.wait()

    stack.enter_context(patch.object(Outbox, "run_relay", wait))


def blocks_forgotten(stack: ExitStack) -> None:
    """A push after which nobody may write is acknowledged and not applied."""
    whole = store.raise_gates

    async def forget(conn: Executor, gates: Sequence[GateSnapshot]) -> None:
        await whole(conn, [gate for gate in gates if any(rights.can_send for rights in gate.rights.values())])

    stack.enter_context(patch.object(store, "raise_gates", forget))


BUILDS: Mapping[str, Callable[[ExitStack], None]] = {
    build.__name__: build
    for build in (
        acknowledged_before_commit,
        repeats_stored_again,
        numbers_from_a_sequence,
        counted_later,
        no_relay,
        blocks_forgotten,
    )
}

if __name__ == "__main__":
    with ExitStack() as broken:
        BUILDS[os.environ["BROKEN_BUILD"]](broken)
        message_svc.cli()
