"""When a person is mailed about unread messages, and what of others may stand in a mail."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from conversation_svc.domain.types import Folder, Role

MOST_SENDINGS = 2
"""Of one mail: once, and once more when the first one's end is not known."""

# What mail servers take everywhere, without comments, quotes or room for a header of one's own. Nor with
# "=?", which mail libraries decode: `=?utf-8?q?eve?=@…` would become somebody else's address.
_WORD = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"(?!.*=\?)(?=.{{1,64}}@){_WORD}(?:\.{_WORD})*@{_LABEL}(?:\.{_LABEL})*")
_NAME_CHARS = 60


@dataclass(frozen=True, slots=True)
class HeardOf:
    """A message that whoever leaves it unread is mailed about at `due_at`.

    Before `covered_until` its sender may write others of which nothing is heard; None: not one.
    """

    conversation_id: UUID
    seq: int
    sender_id: str
    due_at: datetime
    covered_until: datetime | None


@dataclass(frozen=True, slots=True)
class Reminder:
    """What is known of somebody who may have unread messages; `lease` is how long it is ours to look at."""

    conversation_id: UUID
    user_id: str
    mail_id: UUID
    first_seq: int
    last_seq: int
    tries: int
    mailed_seq: int
    lease: datetime
    email: str
    role: Role | None
    sender_name: str
    sender_blocked: bool = False
    """By the person to be reminded."""


@dataclass(frozen=True, slots=True)
class View:
    """Their view of the conversation, as message_svc has it."""

    folder: Folder
    unread: int
    last_read_seq: int
    last_seq: int
    muted: bool
    archived: bool


@dataclass(frozen=True, slots=True)
class Send:
    """Mail them."""

    view: View


@dataclass(frozen=True, slots=True)
class Wait:
    """They have read on since: what is unread now gets its own time."""

    first_seq: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Nothing to remind of up to `seen_seq`."""

    seen_seq: int


def decide_mail(reminder: Reminder, view: View | None) -> Send | Wait | Drop:
    """What to do about a reminder that is due; `view` is None for those who are not in the conversation."""
    if view is None:
        return Drop(reminder.last_seq)
    wanted = view.folder in (Folder.INBOX, Folder.REQUESTS) and not view.muted and not view.archived
    mailed = view.last_read_seq < reminder.mailed_seq
    if not wanted or mailed or view.unread == 0:
        return Drop(max(view.last_seq, reminder.last_seq))
    if view.last_read_seq >= reminder.first_seq:
        return Wait(view.last_read_seq + 1)
    return Send(view)


def mail_address(text: str | None) -> str:
    """The address, or "" when it is none that mail can be sent to."""
    address = text or ""
    return address if len(address) <= 254 and _ADDRESS.fullmatch(address) else ""


def name_in_mail(name: str) -> str:
    """A name without what a mail program could take for a link, a header or a direction of writing."""
    kept = "".join(char if unicodedata.category(char)[0] in "LM" or char in "'-" else " " for char in name)
    return " ".join(kept.split())[:_NAME_CHARS].rstrip()
