"""What Postgres holds of some people's conversations: every schema, in one snapshot."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg

from tests.ledger.jobs import Jobs


@dataclass(frozen=True)
class Stored:
    """A message's row."""

    conversation: str
    seq: int
    change_seq: int
    id: str
    sender: str
    client_id: str
    text: str
    kind: str = "text"
    redacted: bool = False
    at: float = 0.0
    """When it was stored, in seconds."""


@dataclass(frozen=True)
class Written:
    """An event that has reached RabbitMQ: `sender` writes, and nothing more of it is told before `until`."""

    event: str
    conversation: str
    seq: int
    sender: str
    until: float

    def covers(self, row: Stored) -> bool:
        """Whether the message needs no event of its own."""
        same = (self.conversation, self.sender) == (row.conversation, row.sender)
        return same and self.seq <= row.seq and (self.seq == row.seq or row.at < self.until)


@dataclass(frozen=True)
class Member:
    """A member's row."""

    conversation: str
    user: str
    folder: str
    last_read_seq: int
    shared_read_seq: int | None
    unread: int
    muted: bool = False
    archived: bool = False

    @property
    def listed_in(self) -> str:
        """In which list it stands, or "none"."""
        return "archived" if self.archived else self.folder


@dataclass(frozen=True)
class Truth:
    """Rows of all schemas."""

    messages: list[Stored] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    counters: dict[str, tuple[int, int]] = field(default_factory=dict)
    """(last_seq, last_change) by conversation."""
    states: dict[str, str] = field(default_factory=dict)
    """State by conversation, as conversation_svc has it."""
    blocks: set[tuple[str, str]] = field(default_factory=set)
    """(who, whom)."""
    owed: int = 0
    """Events of any conversation that anybody sees, not published yet."""
    told: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Events that have reached RabbitMQ, by the message that they tell of."""
    written: Sequence[Written] = ()
    """Events that have reached RabbitMQ of somebody who writes."""
    jobs: Jobs | None = None
    """What consumers did; None where that is not looked at."""

    def of(self, conversation: str) -> list[Stored]:
        """Its messages, by number."""
        return sorted(
            (row for row in self.messages if row.conversation == conversation), key=lambda row: row.seq
        )


BACKLOG = """
SELECT (SELECT count(*) FROM message_svc.outbox_bus) + (SELECT count(*) FROM conversation_svc.outbox_bus)
"""
# What is owed about a conversation waits for its first message: until then nobody sees it, and its start may
# have been refused.
_OWED = """
SELECT (SELECT count(*) FROM message_svc.outbox_realtime)
     + (SELECT count(*) FROM message_svc.outbox_bus)
     + (SELECT count(*) FROM conversation_svc.outbox_realtime)
     + (SELECT count(*) FROM conversation_svc.outbox_bus)
     + (SELECT count(*) FROM conversation_svc.owed_events
        WHERE conversation_id IS NULL
           OR EXISTS (SELECT FROM message_svc.gate WHERE id = conversation_id AND last_seq > 0))
"""


async def read_truth(admin_url: str, people: Iterable[str]) -> Truth:
    """Looks at the rows of these people's conversations, as the administrator."""
    users = list(people)
    conn = await asyncpg.connect(admin_url, timeout=30)
    try:
        async with conn.transaction(isolation="repeatable_read", readonly=True):
            members = await conn.fetch(
                "SELECT * FROM message_svc.member WHERE user_id = ANY ($1) AND left_at IS NULL"
                " AND activity_at IS NOT NULL",
                users,
            )
            ids = list({row["conversation_id"] for row in members})
            messages = await conn.fetch(
                "SELECT * FROM message_svc.message WHERE conversation_id = ANY ($1)", ids
            )
            gates = await conn.fetch("SELECT * FROM message_svc.gate WHERE id = ANY ($1)", ids)
            states = await conn.fetch(
                "SELECT id, state FROM conversation_svc.conversations WHERE id = ANY ($1)", ids
            )
            blocks = await conn.fetch(
                "SELECT * FROM conversation_svc.blocks WHERE blocker_id = ANY ($1) AND removed_at IS NULL",
                users,
            )
            owed = await conn.fetchval(_OWED)
    finally:
        await conn.close()
    return Truth(
        messages=[
            Stored(
                conversation=str(row["conversation_id"]),
                seq=row["seq"],
                change_seq=row["change_seq"],
                id=str(row["id"]),
                sender=row["sender_id"],
                client_id=row["client_message_id"],
                text=row["text"],
                kind=row["kind"],
                redacted=row["redacted_at"] is not None,
                at=row["created_at"].timestamp(),
            )
            for row in messages
        ],
        members=[
            Member(
                conversation=str(row["conversation_id"]),
                user=row["user_id"],
                folder=row["folder"],
                last_read_seq=row["last_read_seq"],
                shared_read_seq=row["shared_read_seq"],
                unread=row["unread"],
                muted=row["muted"],
                archived=row["archived"],
            )
            for row in members
        ],
        counters={str(row["id"]): (row["last_seq"], row["last_change"]) for row in gates},
        states={str(row["id"]): row["state"] for row in states},
        blocks={(row["blocker_id"], row["blocked_id"]) for row in blocks},
        owed=owed,
    )
