"""The words of the domain. Values of the enums are what the tables hold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """What a person does on the marketplace."""

    RECRUITER = "recruiter"
    COMPANY = "company"
    CANDIDATE = "candidate"
    MODERATOR = "moderator"
    ADMIN = "admin"


class Kind(StrEnum):
    """How many people a conversation is for."""

    DIRECT = "direct"
    TEAM = "team"


class State(StrEnum):
    """State of a conversation."""

    REQUEST = "request"
    ACTIVE = "active"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class Side(StrEnum):
    """On which side of a conversation somebody stands."""

    INITIATOR = "initiator"
    RECIPIENT = "recipient"


class Folder(StrEnum):
    """In which of a person's lists a conversation stands; NONE: readable by id only."""

    NONE = "none"
    INBOX = "inbox"
    REQUESTS = "requests"
    SENT = "sent"


class Refusal(StrEnum):
    """Why something was not done."""

    NOT_FOUND = "not_found"
    REQUEST_PENDING = "request_pending"
    REQUEST_CLOSED = "request_closed"
    UNDELIVERABLE = "undeliverable"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    REPLY_NOT_FOUND = "reply_not_found"
    ACCEPT_REQUIRED = "accept_required"
    FORBIDDEN = "forbidden"


class PolicyReason(StrEnum):
    """Why a viewer's composer is closed, as far as they may know."""

    REQUEST_PENDING = "request_pending"
    ACCEPT_REQUIRED = "accept_required"
    REQUEST_CLOSED = "request_closed"
    BLOCKED_BY_ME = "blocked_by_me"


Block = tuple[str, str]
"""(who blocked, whom)."""
Blocks = frozenset[Block]


@dataclass(frozen=True, slots=True)
class Profile:
    """A person as the chat shows them. Empty text = absent; `role` is None for people never met."""

    user_id: str
    display_name: str = ""
    avatar_url: str = ""
    role: Role | None = None
    org_id: str = ""
    org_name: str = ""
    org_verified: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    """What a conversation is about. Empty text = absent."""

    job_id: str = ""
    job_title: str = ""
    company_name: str = ""
    company_logo_url: str = ""
    application_id: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation, as it truly stands."""

    id: UUID
    kind: Kind
    state: State
    initiator_id: str
    recipient_id: str
    job_id: str
    context: Context | None
    gate_version: int
    gate_pushed: int
    opened: bool
    gate_applied: bool
    declined_at: datetime | None
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody who is or was in a conversation, and what they may know of its changes."""

    user: Profile
    side: Side
    joined_at: datetime
    left_at: datetime | None
    version: int
    updated_at: datetime
    hides_receipts: bool = False
    """By their settings: nobody learns how far they have read, and they learn nobody's."""

    @property
    def user_id(self) -> str:
        return self.user.user_id


@dataclass(frozen=True, slots=True)
class Situation:
    """All that rights follow from: a conversation, its people, the blocks between its two sides."""

    conversation: Conversation
    participants: tuple[Participant, ...]
    blocks: Blocks

    def find(self, user_id: str) -> Participant | None:
        """The participant, while they are in."""
        for participant in self.participants:
            if participant.user_id == user_id and participant.left_at is None:
                return participant
        return None

    def with_state(self, state: State, *, declined_at: datetime | None = None) -> Situation:
        """The same in another state; `declined_at` is given when that is DECLINED, and kept afterwards."""
        conversation = self.conversation
        return replace(
            self,
            conversation=replace(
                conversation, state=state, declined_at=declined_at or conversation.declined_at
            ),
        )

    def with_receipts(self, user_id: str, *, hidden: bool) -> Situation:
        """The same with that person's read receipts hidden or shown."""
        return replace(
            self,
            participants=tuple(
                replace(each, hides_receipts=hidden) if each.user_id == user_id else each
                for each in self.participants
            ),
        )


@dataclass(frozen=True, slots=True)
class StartKey:
    """A person's idempotency key of a start, and the hash of what it asked for."""

    key: str
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class Settings:
    """What a person shows of themself: how far they have read, that they are typing, that they are here."""

    read_receipts: bool = True
    typing_indicators: bool = True
    presence: bool = True


@dataclass(frozen=True, slots=True)
class Member:
    """What one person may do in a conversation, as message_svc enforces it."""

    user_id: str
    can_send: bool
    refusal: Refusal | None
    message_limit: int | None
    links_clickable: bool
    attachments_allowed: bool
    folder: Folder
    shares_receipts: bool
    left: bool
    state: State
    version: int
    receipts_hidden: bool = False


@dataclass(frozen=True, slots=True)
class Gate:
    """One conversation's complete rights."""

    conversation_id: UUID
    version: int
    state: State
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """What message_svc says of a conversation's gate."""

    conversation_id: UUID
    version: int
    """0 = it holds none."""
    differs: bool = False
    """Held at our version with other content: our push is not enforced."""
    opened: bool = False
    """It holds the first message."""
    refused: bool = False
    """It took the gate and refused the first message."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a viewer may do, as far as they may know."""

    can_send: bool
    reason: PolicyReason | None
    links_clickable: bool
    attachments_allowed: bool
    messages_left: int | None


@dataclass(frozen=True, slots=True)
class View:
    """What a viewer can read of a conversation's rights; their `version` rises just when this changes."""

    state: State
    folder: Folder
    policy: Policy
    blocked_by_me: bool
    receipts_hidden: bool
    """Whether the viewer hides their receipts, where there are any: so they see nobody's either."""


def pair_of(user_id: str, other_id: str) -> tuple[str, str]:
    """The two in the order of the tables (code points, which is UTF-8's byte order)."""
    return (user_id, other_id) if user_id < other_id else (other_id, user_id)
