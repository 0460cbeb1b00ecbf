"""Who may write: one rule for single sends and batches."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from message_svc.domain.types import (
    HeldGate,
    NewMessage,
    Refused,
    StoredMessage,
)


@dataclass(frozen=True, slots=True)
class Placed:
    """The message is new and may be stored: with this number, in the gate as it stands after it."""

    message: StoredMessage
    gate: HeldGate


@dataclass(frozen=True, slots=True)
class Repeated:
    """The same message was stored before."""

    message: StoredMessage


Decision = Placed | Repeated | Refused


def hash_body(key: bytes, text: str, reply_to_id: UUID | None = None) -> bytes:
    """Keyed hash of a message's original body: tells a repeat from another message under the same client id,
    also after an edit, without keeping the original.
    """
    body = text if reply_to_id is None else f"{text}\0{reply_to_id}"  # a text holds no NUL
    return hmac.digest(key, body.encode(), hashlib.sha256)


def decide(
    new: NewMessage,
    gate: HeldGate | None,
    duplicate: StoredMessage | None,
    now: datetime,
    *,
    reply_exists: bool = True,
) -> Decision:
    """Decides one send under the locked gate.

    Membership comes first (a stranger learns nothing, not even of duplicates), then the duplicate (a repeat
    stays a success whatever happened to the rights since), then the rights.
    """
    rights = gate.snapshot.rights.get(new.sender_id) if gate is not None else None
    if gate is None or rights is None or rights.left:
        return Refused.NOT_FOUND
    if duplicate is not None:
        same = hmac.compare_digest(duplicate.body_hash, new.body_hash)
        return Repeated(duplicate.shown_to(rights)) if same else Refused.IDEMPOTENCY_CONFLICT
    if not rights.can_send:
        return rights.refusal
    if rights.message_limit is not None and gate.last_seq >= rights.message_limit:
        return Refused.REQUEST_PENDING
    if new.reply_to_id is not None and not reply_exists:
        return Refused.REPLY_NOT_FOUND
    # Clocks of replicas differ; a conversation's own times never run backwards.
    at = now if gate.last_at is None else max(now, gate.last_at)
    after = HeldGate(gate.snapshot, gate.last_seq + 1, gate.last_change + 1, at, gate.told)
    message = StoredMessage(
        id=new.id,
        conversation_id=new.conversation_id,
        seq=after.last_seq,
        change_seq=after.last_change,
        sender_id=new.sender_id,
        client_message_id=new.client_message_id,
        kind="text",
        text=new.text,
        body_hash=new.body_hash,
        created_at=at,
        reply_to_id=new.reply_to_id,
        links=new.links,
    )
    return Placed(message, after)
