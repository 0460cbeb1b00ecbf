"""Conversations of ada (who wrote first) and bob, in every state, for pure tests of conversation_svc."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from conversation_svc.domain import (
    Blocks,
    Conversation,
    Kind,
    Participant,
    Profile,
    Role,
    Side,
    Situation,
    State,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ADA = Profile("ada", "Ada", role=Role.RECRUITER)
BOB = Profile("bob", "Bob", role=Role.CANDIDATE)
BLOCKS: dict[str, Blocks] = {
    "nobody": frozenset(),
    "ada": frozenset({("ada", "bob")}),
    "bob": frozenset({("bob", "ada")}),
    "both": frozenset({("ada", "bob"), ("bob", "ada")}),
}
"""By who blocks."""
CASES: dict[str, tuple[State, bool]] = {
    "request": (State.REQUEST, False),
    "active": (State.ACTIVE, False),
    "declined": (State.DECLINED, True),
    "withdrawn": (State.WITHDRAWN, False),
    "withdrawn, was declined": (State.WITHDRAWN, True),
    "expired": (State.EXPIRED, False),
    "expired, was declined": (State.EXPIRED, True),
}
"""(state, whether bob declined) by what the tests call it."""


def conversation(case: str = "request", **changes: Any) -> Conversation:
    """Ada's conversation with bob."""
    state, declined = CASES[case]
    fields: dict[str, Any] = {
        "id": uuid.UUID(int=1),
        "kind": Kind.DIRECT,
        "state": state,
        "initiator_id": "ada",
        "recipient_id": "bob",
        "job_id": "",
        "context": None,
        "gate_version": 7,
        "gate_pushed": 7,
        "opened": True,
        "gate_applied": False,
        "declined_at": NOW if declined else None,
        "created_at": NOW,
        "expires_at": NOW + timedelta(days=30),
    }
    return Conversation(**{**fields, **changes})


def situation(case: str = "request", blocks: str = "nobody", **changes: Any) -> Situation:
    """The same with its two people; `blocks` is a key of BLOCKS."""
    return Situation(
        conversation=conversation(case, **changes),
        participants=(
            Participant(ADA, Side.INITIATOR, NOW, None, 3, NOW),
            Participant(BOB, Side.RECIPIENT, NOW, None, 5, NOW),
        ),
        blocks=BLOCKS[blocks],
    )
