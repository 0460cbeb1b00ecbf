"""Stored conversations by the million, written by SQL as the services would have left them.

`MANY` has `OWN` conversations of two, one of them the `LONG` one with a tenth of all messages. Of what is
added, four tenths go to the others of that person, and half to conversations of other people, `TYPICAL`
messages each: everything that could make a statement dearer grows.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import asyncpg
from splits.chat.message.v1 import message_pb2 as pb

MANY = "recruiter-many"
OWN = 10_000
LONG = 0
TYPICAL = 50

_LONGEST_S = 900.0
_BEGAN_MS = 1_767_225_600_000  # 2026-01-01
_ROOMS = """
CREATE TEMP TABLE filling (
    number integer PRIMARY KEY, id uuid, person text, other text, last_seq bigint, adding bigint
)"""

# Whoever measured meanwhile may have sent.
_AS_IT_IS = """
UPDATE filling
SET last_seq = gate.last_seq
FROM message_svc.gate
WHERE gate.id = filling.id AND gate.last_seq <> filling.last_seq
"""
_SHARES = """
UPDATE filling
SET adding = CASE WHEN number = $1 THEN $2::bigint WHEN number < $3 THEN $4::bigint ELSE $5 - last_seq END
"""
_MESSAGES = """
INSERT INTO message_svc.message
    (conversation_id, seq, change_seq, id, sender_id, client_message_id, kind, text, body_hash, created_at)
SELECT id, seq, seq, md5(number || ' ' || seq)::uuid, other, md5(seq || ' ' || number)::uuid::text, 'text',
       repeat('Good morning. ', 7), decode(repeat('ab', 32), 'hex'),
       timestamptz '2026-01-01' + number * interval '1 second' + seq * interval '1 microsecond'
FROM filling, generate_series(last_seq + 1, last_seq + adding) AS seq
"""
# Millions of rows are sorted into an index faster than they are added to it one by one.
_KEYS = """
SELECT conname AS name, pg_get_constraintdef(oid) AS definition
FROM pg_constraint
WHERE conrelid = 'message_svc.message'::regclass AND contype IN ('p', 'u')
"""
_INDEXES = """
SELECT indexrelid::regclass::text AS name,
       replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ') AS definition
FROM pg_index
WHERE indrelid = 'message_svc.message'::regclass
  AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
"""
_COUNTERS = """
UPDATE message_svc.gate
SET last_seq = filling.last_seq, last_change = filling.last_seq,
    last_at = timestamptz '2026-01-01' + number * interval '1 second'
              + filling.last_seq * interval '1 microsecond'
FROM filling
WHERE gate.id = filling.id AND adding > 0
"""
# All is read, but for the last message in one of ten conversations.
_MEMBERS = """
INSERT INTO message_svc.member
    (user_id, conversation_id, folder, state, version, shares_receipts, last_read_seq, shared_read_seq,
     unread, activity_at, changed_at)
SELECT side.user_id, id, 'inbox', 'active', 1, true, gate.last_seq - side.unread, gate.last_seq - side.unread,
       side.unread, last_at, last_at
FROM filling
JOIN message_svc.gate USING (id),
     LATERAL (VALUES (person, (number % 10 = 1)::integer), (other, 0)) AS side (user_id, unread)
WHERE adding > 0
ON CONFLICT (user_id, conversation_id) DO UPDATE
    SET last_read_seq = excluded.last_read_seq, shared_read_seq = excluded.shared_read_seq,
        unread = excluded.unread, activity_at = excluded.activity_at, changed_at = excluded.changed_at
"""
_CONVERSATIONS = (
    """
    INSERT INTO conversation_svc.conversations
        (id, kind, state, initiator_id, recipient_id, pair_low, pair_high, gate_pushed, push_due_at, opened,
         opening_at, created_at, expires_at)
    SELECT id, 'direct', 'active', person, other, least(person COLLATE "C", other COLLATE "C"),
           greatest(person COLLATE "C", other COLLATE "C"), 1, now(), true, now(), now(), now()
    FROM filling
    WHERE last_seq = 0
    """,
    """
    INSERT INTO conversation_svc.participants (conversation_id, user_id, side, joined_at, updated_at)
    SELECT id, side.user_id, side.side, now(), now()
    FROM filling, LATERAL (VALUES (person, 'initiator'), (other, 'recipient')) AS side (user_id, side)
    WHERE last_seq = 0
    """,
    """
    INSERT INTO conversation_svc.profiles
        (user_id, display_name, avatar_url, role, org_id, org_name, org_verified, updated_at)
    SELECT DISTINCT user_id, initcap(user_id), '', split_part(user_id, '-', 1), '', '', false, now()
    FROM filling, LATERAL (VALUES (person), (other)) AS side (user_id)
    WHERE last_seq = 0
    ON CONFLICT DO NOTHING
    """,
)


@dataclass
class Stored:
    """What has been filled in, over one connection that may write every schema."""

    conn: asyncpg.Connection
    messages: int = 0
    conversations: int = 0
    profiles: bool = True
    """Whether conversation_svc's schema is there and filled too."""

    async def grow(self, messages: int) -> None:
        """Adds conversations and messages until there are about `messages`, at least one a conversation."""
        added = messages - self.messages
        await self.conn.execute(_AS_IT_IS if self.conversations else _ROOMS)
        others = max(0, added // 2 // TYPICAL) if self.conversations else 0
        await self._add_conversations(others if self.conversations else OWN)
        own_each = max(1, added * 4 // 10 // OWN)
        long = max(1, added // 10)
        async with self.conn.transaction():
            await self.conn.execute(_SHARES, LONG, long, OWN, own_each, TYPICAL)
            if self.profiles:
                for statement in _CONVERSATIONS:
                    await self.conn.execute(statement)
            await self._insert_messages()
            await self.conn.execute("UPDATE filling SET last_seq = last_seq + adding")
            await self.conn.execute(_COUNTERS)
            await self.conn.execute(_MEMBERS)
        self.messages = await self.conn.fetchval("SELECT sum(last_seq)::bigint FROM filling")
        await self.conn.execute("VACUUM (ANALYZE) message_svc.message", timeout=_LONGEST_S)
        await self.conn.execute("VACUUM (ANALYZE) message_svc.gate")
        await self.conn.execute("VACUUM (ANALYZE) message_svc.member")
        if self.profiles:
            for table in ("conversations", "participants", "profiles"):
                await self.conn.execute(f"VACUUM (ANALYZE) conversation_svc.{table}")

    async def _insert_messages(self) -> None:
        keys, indexes = await self.conn.fetch(_KEYS), await self.conn.fetch(_INDEXES)
        for key in keys:
            await self.conn.execute(f"ALTER TABLE message_svc.message DROP CONSTRAINT {key['name']}")
        for index in indexes:
            await self.conn.execute(f"DROP INDEX {index['name']}")
        await self.conn.execute(_MESSAGES, timeout=_LONGEST_S)
        await self.conn.execute("SET LOCAL maintenance_work_mem = '512MB'")
        for key in keys:
            statement = f"ALTER TABLE message_svc.message ADD CONSTRAINT {key['name']} {key['definition']}"
            await self.conn.execute(statement, timeout=_LONGEST_S)
        for index in indexes:
            await self.conn.execute(index["definition"], timeout=_LONGEST_S)

    async def _add_conversations(self, number: int) -> None:
        rows = list(_conversations(self.conversations, number))
        await self.conn.copy_records_to_table(
            "filling",
            records=[(*row, 0, 0) for row in rows],
            columns=["number", "id", "person", "other", "last_seq", "adding"],
        )
        await self.conn.copy_records_to_table(
            "gate",
            schema_name="message_svc",
            records=[(row[1], 1, _gate(*row[1:])) for row in rows],
            columns=["id", "gate_version", "snapshot"],
        )
        await self.conn.execute("ANALYZE filling")
        self.conversations += number


def conversation_id(number: int) -> uuid.UUID:
    """As UUIDv7 gives them out: rising with time."""
    return uuid.UUID(int=(_BEGAN_MS + number * 1000) << 80 | 0x7 << 76 | 0x2 << 62 | number)


def _conversations(first: int, number: int) -> Iterator[tuple[int, uuid.UUID, str, str]]:
    for each in range(first, first + number):
        person = MANY if each < OWN else f"recruiter-{each}"
        yield each, conversation_id(each), person, f"candidate-{each}"


def _gate(conversation: uuid.UUID, person: str, other: str) -> bytes:
    return pb.Gate(
        conversation_id=str(conversation),
        gate_version=1,
        state=pb.CONVERSATION_STATE_ACTIVE,
        members=[
            pb.Member(
                user_id=user_id,
                can_send=True,
                refusal=pb.REFUSAL_REASON_UNDELIVERABLE,
                links_clickable=True,
                folder=pb.FOLDER_INBOX,
                shares_receipts=True,
                state=pb.CONVERSATION_STATE_ACTIVE,
                version=1,
            )
            for user_id in (person, other)
        ],
    ).SerializeToString(deterministic=True)
