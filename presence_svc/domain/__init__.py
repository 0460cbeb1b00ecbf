"""Pure rules and types: no I/O, time passed in."""

from presence_svc.domain.access import (
    AccessChange,
    Banned,
    NotBanned,
    SessionOver,
    TokensOver,
    is_news,
    tokens_over,
)
from presence_svc.domain.presence import (
    NOTHING,
    Lease,
    Report,
    Rules,
    State,
    Status,
    advance,
    announced,
    due_ms,
    report,
    shown_at,
    status_at,
    to_save,
)

__all__ = [
    "NOTHING",
    "AccessChange",
    "Banned",
    "Lease",
    "NotBanned",
    "Report",
    "Rules",
    "SessionOver",
    "State",
    "Status",
    "TokensOver",
    "advance",
    "announced",
    "due_ms",
    "is_news",
    "report",
    "shown_at",
    "status_at",
    "to_save",
    "tokens_over",
]
