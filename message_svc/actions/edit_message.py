"""Changes the text of a message."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import asyncpg

from message_svc import events, store
from message_svc.domain import Changed, Refused, StoredMessage, decide_edit
from message_svc.domain.links import find_links
from servicekit.clock import Clock
from servicekit.outbox import Outbox


@dataclass(frozen=True, slots=True)
class Edit:
    """The edit somebody wants."""

    user_id: str
    conversation_id: UUID
    message_id: UUID
    text: str


async def edit_message(
    pool: asyncpg.Pool, outbox: Outbox, clock: Clock, edit: Edit, *, window: timedelta
) -> StoredMessage | Refused:
    """The message as it now stands, as the editor sees it; decided under the gate's lock like a send."""
    now = clock.now()
    links = find_links(edit.text)
    async with pool.acquire() as conn:
        async with conn.transaction():
            gates = await store.lock_gates(conn, [edit.conversation_id])
            gate = gates.get(edit.conversation_id)
            message = await store.find_message(conn, edit.conversation_id, edit.message_id)
            decision = decide_edit(
                edit.user_id, gate, message, text=edit.text, links=links, now=now, window=window
            )
            if isinstance(decision, Refused):
                return decision
            if not isinstance(decision, Changed):
                return decision.message
            await store.change_messages(
                conn, messages=[decision.message], gates=[decision.gate], redacted=[], at=now
            )
            snapshot = decision.gate.snapshot
            shown = events.links_shown(snapshot, decision.message)
            updated = events.message_updated(shown, snapshot.present, now)
            await outbox.add(conn, realtime=[updated])
        outbox.publish_soon(realtime=[updated])
    return decision.message.shown_to(snapshot.rights.get(edit.user_id))
