"""Fills in what the outbox does not keep: the relay publishes what the tables say now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import asyncpg

from message_svc import events, store
from message_svc.domain import GateSnapshot, StoredMessage
from servicekit.outbox import RealtimeEvent

MESSAGE_EVENTS = frozenset({"message.created", "message.updated"})


async def render_events(pool: asyncpg.Pool, owed: Sequence[RealtimeEvent]) -> list[RealtimeEvent | None]:
    """The events with their data; None for one whose message is gone."""
    keys = [
        (event.conversation_id, int(event.refs["seq"]))
        for event in owed
        if event.name in MESSAGE_EVENTS and event.conversation_id is not None
    ]
    messages = await store.get_messages(pool, keys) if keys else {}
    rendered: list[RealtimeEvent | None] = []
    for event in owed:
        if event.name == "read.receipt":
            rendered.append(replace(event, data=event.refs))
        elif event.name in MESSAGE_EVENTS and event.conversation_id is not None:
            found = messages.get((event.conversation_id, int(event.refs["seq"])))
            rendered.append(None if found is None else replace(event, data=_data(*found)))
        else:
            rendered.append(event)
    return rendered


def _data(message: StoredMessage, gate: GateSnapshot) -> dict[str, object]:
    return {"message": events.message_json(events.links_shown(gate, message))}
