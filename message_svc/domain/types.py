"""What the rules are about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from message_svc.domain.links import Link


class Refused(StrEnum):
    """Why a message is not stored; the values are the contract's codes where it has one."""

    NOT_FOUND = "not_found"
    REQUEST_PENDING = "request_pending"
    REQUEST_CLOSED = "request_closed"
    UNDELIVERABLE = "undeliverable"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    ACCEPT_REQUIRED = "accept_required"
    FORBIDDEN = "forbidden"
    REPLY_NOT_FOUND = "reply_not_found"
    EDIT_CLOSED = "edit_closed"


class State(StrEnum):
    """State of a conversation."""

    REQUEST = "request"
    ACTIVE = "active"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class Folder(StrEnum):
    """In which of a member's lists a conversation stands; NONE = readable by id only."""

    NONE = "none"
    INBOX = "inbox"
    REQUESTS = "requests"
    SENT = "sent"


@dataclass(frozen=True, slots=True)
class Rights:
    """What a gate grants one member. Absent means denied."""

    user_id: str
    can_send: bool
    refusal: Refused
    message_limit: int | None
    folder: Folder
    state: State
    version: int
    shares_receipts: bool
    left: bool
    links_clickable: bool = False
    receipts_hidden: bool = False


@dataclass(frozen=True, slots=True)
class GateSnapshot:
    """A conversation's complete rights as conversation_svc computed them."""

    conversation_id: UUID
    gate_version: int
    state: State
    rights: Mapping[str, Rights]
    raw: bytes
    present: tuple[str, ...] = field(init=False, compare=False, repr=False)
    """Ids of the members who are in the conversation, in the snapshot's order."""
    all_follow_links: bool = field(init=False, compare=False, repr=False)
    """Whether everybody present may follow links: what is sent to all shows them only then."""

    def __post_init__(self) -> None:
        # Once, since a snapshot is kept and decides many sends.
        present = tuple(user_id for user_id, rights in self.rights.items() if not rights.left)
        object.__setattr__(self, "present", present)
        follow = all(self.rights[user_id].links_clickable for user_id in present)
        object.__setattr__(self, "all_follow_links", follow)

    @property
    def who_see_receipts(self) -> tuple[str, ...]:
        """Those present who do not hide their own: who hides does not see."""
        return tuple(user_id for user_id in self.present if not self.rights[user_id].receipts_hidden)


@dataclass(frozen=True, slots=True)
class Told:
    """The bus knows that these people wrote; of what they write before `until` it hears no more."""

    until: datetime
    senders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HeldGate:
    """A gate as it stands in the locked row: the snapshot, the counters, and what the bus was told."""

    snapshot: GateSnapshot
    last_seq: int
    last_change: int
    last_at: datetime | None
    told: Told | None = None


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as stored."""

    id: UUID
    conversation_id: UUID
    seq: int
    change_seq: int
    sender_id: str
    client_message_id: str
    kind: str
    text: str
    body_hash: bytes
    created_at: datetime
    reply_to_id: UUID | None = None
    links: tuple[Link, ...] = ()
    edited_at: datetime | None = None
    redacted_at: datetime | None = None
    redacted_by: str | None = None

    def shown_to(self, rights: Rights | None) -> StoredMessage:
        """As somebody with these rights may see it: links only where they may be followed."""
        if not self.links or (rights is not None and rights.links_clickable):
            return self
        return replace(self, links=())


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message somebody wants stored. `id` is the one it gets if it is; `traceparent` is its trace."""

    id: UUID
    conversation_id: UUID
    sender_id: str
    client_message_id: str
    text: str
    body_hash: bytes
    reply_to_id: UUID | None = None
    links: tuple[Link, ...] = ()
    traceparent: str | None = None


# The largest number a Postgres bigint holds; a larger one that a caller names means "past the end".
MAX_SEQ = 2**63 - 1


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A member's row beside the gate: their line of the inbox."""

    user_id: str
    conversation_id: UUID
    folder: Folder
    state: State
    version: int
    shares_receipts: bool
    last_read_seq: int
    shared_read_seq: int | None
    unread: int
    left_at: datetime | None
    activity_at: datetime | None
    changed_at: datetime
    muted: bool = False
    archived: bool = False
    receipts_hidden: bool = False
