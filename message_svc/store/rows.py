"""The named queries, and their rows as domain types."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import asyncpg

from message_svc.codec import gate_from_bytes
from message_svc.domain import (
    Folder,
    HeldGate,
    MemberRow,
    State,
    StoredMessage,
    Told,
)
from message_svc.domain.links import Link
from servicekit.db import Queries

q = Queries.load(Path(__file__).with_name("queries.sql"))


def held_gate(row: asyncpg.Record) -> HeldGate:
    told = row["told"]
    return HeldGate(
        gate_from_bytes(row["snapshot"]),
        row["last_seq"],
        row["last_change"],
        row["last_at"],
        None if told is None else Told(datetime.fromisoformat(told["until"]), tuple(told["senders"])),
    )


def told_json(told: Told | None) -> dict[str, object] | None:
    return None if told is None else {"until": told.until, "senders": told.senders}


def member_row(row: asyncpg.Record) -> MemberRow:
    return MemberRow(
        user_id=row["user_id"],
        conversation_id=row["conversation_id"],
        folder=Folder(row["folder"]),
        state=State(row["state"]),
        version=row["version"],
        shares_receipts=row["shares_receipts"],
        last_read_seq=row["last_read_seq"],
        shared_read_seq=row["shared_read_seq"],
        unread=row["unread"],
        left_at=row["left_at"],
        activity_at=row["activity_at"],
        changed_at=row["changed_at"],
        muted=row["muted"],
        archived=row["archived"],
        receipts_hidden=row["receipts_hidden"],
    )


def stored_message(row: asyncpg.Record) -> StoredMessage:
    return StoredMessage(
        id=row["id"],
        conversation_id=row["conversation_id"],
        seq=row["seq"],
        change_seq=row["change_seq"],
        sender_id=row["sender_id"],
        client_message_id=row["client_message_id"],
        kind=row["kind"],
        text=row["text"],
        body_hash=row["body_hash"],
        created_at=row["created_at"],
        reply_to_id=row["reply_to_id"],
        links=tuple(Link(link["start"], link["end"], link["url"]) for link in row["links"] or ()),
        edited_at=row["edited_at"],
        redacted_at=row["redacted_at"],
        redacted_by=row["redacted_by"],
    )


def links_json(message: StoredMessage) -> dict[str, list[dict[str, object]]] | None:
    if not message.links:
        return None
    # Inside an object: a bare list in a jsonb[] would count as a dimension of the array.
    return {"links": [{"start": link.start, "end": link.end, "url": link.url} for link in message.links]}
