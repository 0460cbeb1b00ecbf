"""Removes a message's text for good."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import asyncpg

from message_svc import events, store
from message_svc.domain import Changed, Refused, StoredMessage, decide_redaction
from servicekit.clock import Clock
from servicekit.outbox import Outbox

# The outbox begins to publish a body from memory within two seconds after its commit, and goes on for at most
# one and a half; the rest is slack.
_BODY_LIVES_S = 4.0
_LOOK_EVERY_S = 0.05


async def redact_message(
    pool: asyncpg.Pool,
    outbox: Outbox,
    clock: Clock,
    *,
    user_id: str,
    moderates: bool,
    conversation_id: UUID,
    message_id: UUID,
) -> StoredMessage | Refused:
    """The message without its text. Returns once no publish of the text can begin any more.

    Raises:
        asyncpg.LockNotAvailableError: a relay took too long over an event of it; redacted all the same, and a
            repeat waits again.
    """
    now = clock.now()
    async with pool.acquire() as conn:
        async with conn.transaction():
            gates = await store.lock_gates(conn, [conversation_id])
            gate = gates.get(conversation_id)
            message = await store.find_message(conn, conversation_id, message_id)
            decision = decide_redaction(user_id, gate, message, moderates=moderates, now=now)
            if isinstance(decision, Refused):
                return decision
            owed = []
            if isinstance(decision, Changed):
                await store.change_messages(
                    conn,
                    messages=[decision.message],
                    gates=[decision.gate],
                    redacted=[decision.message],
                    at=now,
                )
                owed = [events.message_updated(decision.message, decision.gate.snapshot.present, now)]
                await outbox.add(conn, realtime=owed)
        outbox.publish_soon(realtime=owed)
    await _until_unpublished(pool, decision.message, [event.event_id for event in owed])
    return decision.message


async def _until_unpublished(pool: asyncpg.Pool, message: StoredMessage, own: list[UUID]) -> None:
    """Waits out whoever read the text before it went: this or another process, or a relay."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while await store.count_bodies_owed(pool, message, own):
        passed = loop.time() - begun
        if passed >= _BODY_LIVES_S:  # what is left was not published at once, and a relay reads it anew
            await store.wait_for_relay(pool, message, own, timedelta(seconds=passed))
            return
        await asyncio.sleep(_LOOK_EVERY_S)
