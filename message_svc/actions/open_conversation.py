"""Opens a conversation: its gate and its first message in one transaction."""

from __future__ import annotations

from datetime import timedelta

import asyncpg

from message_svc.actions.apply_gates import Held, apply_in_transaction
from message_svc.actions.send_messages import send_in_transaction
from message_svc.domain import Decision, GateSnapshot, NewMessage
from servicekit.clock import Clock
from servicekit.outbox import Outbox


async def open_conversation(
    pool: asyncpg.Pool,
    outbox: Outbox,
    clock: Clock,
    window: timedelta,
    gate: GateSnapshot,
    first: NewMessage,
) -> tuple[Held, Decision]:
    """Applies the gate if it is newer, then decides the message under the gate that is then held.

    Whatever became of the message, the gate is applied: a block that overtook the opening decides it.
    """
    now = clock.now()
    async with pool.acquire() as conn:
        async with conn.transaction():
            held, receipts = await apply_in_transaction(conn, [gate], now)
            await outbox.add(conn, realtime=receipts)
            batch = await send_in_transaction(conn, [first], now, window)
        outbox.publish_soon(realtime=[*receipts, *batch.realtime], bus=batch.bus)
    return held[0], batch.decisions[0]
