"""What actions work with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import asyncpg

from presence_svc.actions.save_last_seen import LastSeen
from presence_svc.domain import Rules
from presence_svc.relations import Relations
from presence_svc.store import States
from servicekit.clock import Clock
from servicekit.control import ControlPublisher


@dataclass(frozen=True, slots=True)
class Deps:
    """Wired once, in app.py."""

    pool: asyncpg.Pool
    states: States
    relations: Relations
    last_seen: LastSeen
    rules: Rules
    control: ControlPublisher
    clock: Clock
    access_keep: timedelta
    """How long revocations are kept."""
