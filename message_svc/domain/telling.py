"""When the bus is told that somebody wrote: once in a while, not with every message (ADR 0035)."""

from __future__ import annotations

from datetime import datetime, timedelta

from message_svc.domain.types import Told


def tell(told: Told | None, sender_id: str, at: datetime, window: timedelta) -> Told:
    """What the bus is told by a message at `at`; `told` itself when it knows of the sender's writing.

    A conversation's windows follow one another, each begun by a message outside of the one before; what
    somebody writes in it is told once. With no window each message is.
    """
    if told is None or at >= told.until:
        return Told(at + window, (sender_id,))
    if sender_id in told.senders:
        return told
    return Told(told.until, (*told.senders, sender_id))
