"""What conversation_svc's worker did: which events it consumed, each effect of them, and each mail it sent.

The effect of an event that somebody writes is a reminder for whoever is to read it. Reminders are written
over, so triggers of the ledger's own note each writing, and which events were consumed in the same
transaction: it takes events in batches, and writes a reminder once for all of a conversation's events.
"""

from __future__ import annotations

import email
import email.policy
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import asyncpg

NOTES = (
    "CREATE SCHEMA ledger",
    "CREATE TABLE ledger.consumed (xid xid8 NOT NULL, event_id uuid NOT NULL)",
    "CREATE TABLE ledger.effects (xid xid8 NOT NULL, conversation_id uuid NOT NULL, user_id text NOT NULL)",
    """CREATE FUNCTION ledger.note_consumed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
        INSERT INTO ledger.consumed VALUES (pg_current_xact_id(), NEW.event_id);
        RETURN NULL;
    END $$""",
    """CREATE FUNCTION ledger.note_effect() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
        INSERT INTO ledger.effects VALUES (pg_current_xact_id(), NEW.conversation_id, NEW.user_id);
        RETURN NULL;
    END $$""",
    "CREATE TRIGGER ledger AFTER INSERT ON conversation_svc.consumed"
    " FOR EACH ROW EXECUTE FUNCTION ledger.note_consumed()",
    # Looking after a reminder does not write the number of its last message; only an event does.
    "CREATE TRIGGER ledger AFTER INSERT OR UPDATE OF last_seq ON conversation_svc.mail_reminders"
    " FOR EACH ROW EXECUTE FUNCTION ledger.note_effect()",
)
"""SQL that makes the notes; nothing of the product knows of it."""

_CONSUMED = "SELECT event_id FROM ledger.consumed WHERE event_id = ANY ($1::uuid[])"
_EFFECTS = """
SELECT conversation_id, user_id,
    ARRAY (SELECT event_id FROM ledger.consumed WHERE consumed.xid = effects.xid) AS event_ids
FROM ledger.effects WHERE conversation_id = ANY ($1::uuid[])
"""
_REMINDERS = """
SELECT r.conversation_id, r.user_id, r.first_seq, r.last_seq, r.mailed_seq, r.tries, r.due_at,
    EXISTS (SELECT FROM conversation_svc.mail_addresses a WHERE a.user_id = r.user_id) AS has_address
FROM conversation_svc.mail_reminders r WHERE r.conversation_id = ANY ($1::uuid[])
"""
_MAIL = re.compile(
    r"-{10} MESSAGE FOLLOWS -{10}\n(?:(?:mail|rcpt) options: [^\n]*\n)*\n?(.*?)\n-{12} END MESSAGE -{12}\n",
    re.DOTALL,
)
_ABOUT = re.compile(r"http://127\.0\.0\.1/([0-9a-f-]{36})")


@dataclass(frozen=True)
class Mail:
    """One that arrived."""

    id: str
    user: str
    conversation: str


@dataclass(frozen=True)
class Jobs:
    """What was done for some conversations."""

    consumed: Counter[str] = field(default_factory=Counter)
    """How often each event was marked as consumed."""
    effects: Counter[tuple[str | None, str]] = field(default_factory=Counter)
    """How often each event took effect on each person; None: in a transaction that consumed no event."""
    mails: list[Mail] = field(default_factory=list)
    reminders: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """What is noted of a conversation and a person, in words: it says why a mail did not come."""


async def read_jobs(
    admin_url: str, conversations: Iterable[str], told: Mapping[str, str], mail_log: str
) -> Jobs:
    """All that was done for these conversations and for the events of `told`, each with its conversation."""
    ids = set(conversations)
    conn = await asyncpg.connect(admin_url, timeout=30)
    try:
        consumed = await conn.fetch(_CONSUMED, list(told))
        effects = await conn.fetch(_EFFECTS, list(ids))
        noted = await conn.fetch(_REMINDERS, list(ids))
    finally:
        await conn.close()
    jobs = Jobs(
        mails=[mail for mail in read_mails(mail_log) if mail.conversation in ids],
        reminders={
            (str(row["conversation_id"]), row["user_id"]): ", ".join(
                f"{name} {value}" for name, value in list(row.items())[2:]
            )
            for row in noted
        },
    )
    jobs.consumed.update(str(row["event_id"]) for row in consumed)
    for row in effects:
        conversation = str(row["conversation_id"])
        # An event that has not been heard of yet may be of this conversation.
        sources: list[str | None] = [
            event for event in map(str, row["event_ids"]) if told.get(event, conversation) == conversation
        ]
        jobs.effects.update((source, row["user_id"]) for source in sources or [None])
    return jobs


def read_mails(log: str) -> Iterator[Mail]:
    """Mails in the log of the program that catches them."""
    for text in _MAIL.findall(log):
        letter = email.message_from_string(text, policy=email.policy.default)
        body = letter.get_body(("plain",))
        about = None if body is None else _ABOUT.search(body.get_content())
        if about is not None:
            yield Mail(letter["Message-ID"], letter["To"].partition("@")[0], about[1])
