"""Conversations and their people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from uuid import UUID

import asyncpg

from conversation_svc.domain import Situation, StartKey, pair_of
from conversation_svc.store.rows import conversation_of, participant_of, q
from servicekit.db import Executor


async def get_pair(conn: Executor, conversation_id: UUID) -> tuple[str, str] | None:
    """(initiator, recipient) of an open conversation: these never change."""
    row = await q.get_pair.fetchrow(conn, conversation_id)
    return None if row is None else (row["initiator_id"], row["recipient_id"])


async def get_situations(conn: Executor, ids: Sequence[UUID]) -> list[Situation]:
    """The conversations that exist, as of one moment, in the order of their ids.

    Who changes them has locked them in an earlier statement.
    """
    rows = await q.get_situations.fetch(conn, ids)
    by_id: dict[UUID, list[asyncpg.Record]] = {}
    for row in rows:
        by_id.setdefault(row["id"], []).append(row)
    return [
        Situation(
            conversation=conversation_of(group[0]),
            participants=tuple(participant_of(row) for row in group),
            blocks=frozenset((row["user_id"], blocked) for row in group for blocked in row["blocked"]),
        )
        for group in by_id.values()
    ]


async def add_conversation(conn: Executor, situation: Situation, push_due_at: datetime) -> None:
    """Inserts a conversation and its people. Under the pair's lock."""
    conversation = situation.conversation
    await q.insert_conversation.execute(
        conn,
        conversation.id,
        conversation.kind.value,
        conversation.state.value,
        conversation.initiator_id,
        conversation.recipient_id,
        *pair_of(conversation.initiator_id, conversation.recipient_id),
        conversation.job_id,
        asdict(conversation.context) if conversation.context else None,
        conversation.created_at,
        conversation.expires_at,
        push_due_at,
    )
    await q.insert_participants.execute(
        conn,
        conversation.id,
        [participant.user_id for participant in situation.participants],
        [participant.side.value for participant in situation.participants],
        conversation.created_at,
    )


async def save_situations(
    conn: Executor, situations: Sequence[Situation], push_due_at: datetime, *, opening: bool = False
) -> None:
    """Writes what a change of rights moves. Under the conversations' locks.

    `opening`: their first message is on its way with this change.
    """
    await q.save_conversations.execute(
        conn,
        [each.conversation.id for each in situations],
        [each.conversation.state.value for each in situations],
        [each.conversation.gate_version for each in situations],
        [each.conversation.declined_at for each in situations],
        push_due_at,
        opening,
    )
    people = [(each.conversation.id, person) for each in situations for person in each.participants]
    await q.save_participants.execute(
        conn,
        [conversation_id for conversation_id, _ in people],
        [person.user_id for _, person in people],
        [person.version for _, person in people],
        [person.updated_at for _, person in people],
    )


async def set_decline_reason(conn: Executor, conversation_id: UUID, reason: str) -> None:
    """Keeps why the recipient declined."""
    await q.set_decline_reason.execute(conn, conversation_id, reason)


async def set_opening(
    conn: Executor, conversation_id: UUID, now: datetime, push_due_at: datetime, expires_at: datetime
) -> None:
    """Notes that a first message is on its way, so that nobody takes the conversation for abandoned."""
    await q.set_opening.execute(conn, conversation_id, now, push_due_at, expires_at)


async def get_start_key(conn: Executor, user_id: str, key: str) -> tuple[bytes, UUID, bool] | None:
    """(hash of the body, conversation, whether that is open) of an earlier start. Under the key's lock."""
    row = await q.get_start_key.fetchrow(conn, user_id, key)
    return None if row is None else (row["body_hash"], row["conversation_id"], row["opened"])


async def put_start_key(
    conn: Executor, user_id: str, start_key: StartKey, conversation_id: UUID, now: datetime
) -> None:
    """Keeps the key with the conversation that the start made or found. Under the key's lock."""
    await q.put_start_key.execute(conn, user_id, start_key.key, start_key.body_hash, conversation_id, now)


async def delete_start_key(conn: Executor, user_id: str, key: str) -> None:
    """Forgets the key of a start that was refused."""
    await q.delete_start_key.execute(conn, user_id, key)
