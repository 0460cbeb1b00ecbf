"""What actions work with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from conversation_svc.domain import Participant, Rules, Situation
from conversation_svc.messages import Messages
from servicekit.clock import Clock
from servicekit.control import ControlPublisher
from servicekit.outbox import Outbox


@dataclass(frozen=True, slots=True)
class Deps:
    """Wired once, in app.py."""

    pool: asyncpg.Pool
    messages: Messages
    outbox: Outbox
    control: ControlPublisher
    clock: Clock
    rules: Rules
    push_owed_after: timedelta
    """How long the call that made a change has for its push."""
    unopened_ttl: timedelta
    """When a conversation whose first message never arrived is forgotten."""

    def push_due_at(self, now: datetime) -> datetime:
        """When the sweeper may take over a push that is owed from `now` on."""
        return now + self.push_owed_after


@dataclass(frozen=True, slots=True)
class Viewed:
    """A conversation, and who looks at it."""

    situation: Situation
    viewer: Participant
