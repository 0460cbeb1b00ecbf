"""Who may edit or redact, and how a change is numbered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from message_svc.domain.links import Link
from message_svc.domain.types import (
    HeldGate,
    Refused,
    StoredMessage,
)


@dataclass(frozen=True, slots=True)
class Changed:
    """A stored message changes: as it will be, in the gate as it stands after it."""

    message: StoredMessage
    gate: HeldGate


@dataclass(frozen=True, slots=True)
class Unchanged:
    """It already is as it was asked to be."""

    message: StoredMessage


ChangeDecision = Changed | Unchanged | Refused


def decide_edit(
    user_id: str,
    gate: HeldGate | None,
    message: StoredMessage | None,
    *,
    text: str,
    links: tuple[Link, ...],
    now: datetime,
    window: timedelta,
) -> ChangeDecision:
    """Decides one edit under the locked gate: the sender's own, as free to write as for a new message.

    A repeat is a success whatever happened to the rights since, like that of a send.
    """
    rights = gate.snapshot.rights.get(user_id) if gate is not None else None
    if gate is None or rights is None or rights.left or message is None:
        return Refused.NOT_FOUND
    if message.sender_id != user_id or message.kind != "text":
        return Refused.FORBIDDEN
    if message.redacted_at is not None:
        return Refused.EDIT_CLOSED
    if message.text == text:
        return Unchanged(message.shown_to(rights))
    if not rights.can_send:
        return rights.refusal
    if rights.message_limit is not None:
        return Refused.REQUEST_PENDING  # a request is one message, and stays the one that was sent
    if now - message.created_at > window:
        return Refused.EDIT_CLOSED
    after = _next_change(gate)
    changed = replace(
        message, text=text, links=links, change_seq=after.last_change, edited_at=max(now, message.created_at)
    )
    return Changed(changed, after)


def decide_redaction(
    user_id: str,
    gate: HeldGate | None,
    message: StoredMessage | None,
    *,
    moderates: bool,
    now: datetime,
) -> ChangeDecision:
    """Decides one redaction under the locked gate: by the sender, whatever they may write, or a moderator."""
    rights = gate.snapshot.rights.get(user_id) if gate is not None else None
    present = rights is not None and not rights.left
    if gate is None or message is None or not (present or moderates):
        return Refused.NOT_FOUND
    if message.kind != "text" or not (message.sender_id == user_id or moderates):
        return Refused.FORBIDDEN
    if message.redacted_at is not None:
        return Unchanged(message)
    after = _next_change(gate)
    changed = replace(
        message,
        text="",
        links=(),
        change_seq=after.last_change,
        redacted_at=max(now, message.created_at),
        redacted_by=user_id,
    )
    return Changed(changed, after)


def renumber(gate: HeldGate, messages: Sequence[StoredMessage]) -> tuple[HeldGate, list[StoredMessage]]:
    """Each message changes once more: their links came alive. Returns the gate after it, and them."""
    renumbered = []
    for message in messages:
        gate = _next_change(gate)
        renumbered.append(replace(message, change_seq=gate.last_change))
    return gate, renumbered


def _next_change(gate: HeldGate) -> HeldGate:
    return replace(gate, last_change=gate.last_change + 1)
