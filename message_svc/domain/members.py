"""What a new gate and a read mark do to a member's row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from message_svc.domain.types import (
    Folder,
    HeldGate,
    MemberRow,
    Rights,
)


@dataclass(frozen=True, slots=True)
class MemberChange:
    """A member's row after a gate was applied, and whether others may now learn how far they have read."""

    row: MemberRow
    reveals_receipt: bool


def apply_rights(old: MemberRow | None, rights: Rights, gate: HeldGate, now: datetime) -> MemberChange:
    """What a new gate makes of one member's row.

    A joiner starts at the last message and without flags. What ends leaves every list, that of the archived
    too. `changed_at` moves only with what the member may know: a block must not show in the blocked person's
    watch list. Receipts held back so far are revealed when sharing starts.
    """
    conversation_id = gate.snapshot.conversation_id
    left_at = now if rights.left else None
    # `now` was taken before the wait for the gate: a send that held it may have moved the row further.
    changed_at = now if old is None else max(now, old.changed_at)
    if old is None or (old.left_at is not None and not rights.left):
        row = MemberRow(
            user_id=rights.user_id,
            conversation_id=conversation_id,
            folder=rights.folder,
            state=rights.state,
            version=rights.version,
            shares_receipts=rights.shares_receipts,
            last_read_seq=gate.last_seq,
            shared_read_seq=None,
            unread=0,
            left_at=left_at,
            activity_at=gate.last_at,
            changed_at=changed_at,
            receipts_hidden=rights.receipts_hidden,
        )
        return MemberChange(row, reveals_receipt=False)
    if old.left_at is not None:
        left_at = old.left_at
    shown = (rights.folder, rights.state, rights.version, left_at)
    changed = shown != (old.folder, old.state, old.version, old.left_at)
    starts_sharing = rights.shares_receipts and not old.shares_receipts
    catches_up = starts_sharing and old.last_read_seq > (old.shared_read_seq or 0)
    row = replace(
        old,
        folder=rights.folder,
        state=rights.state,
        version=rights.version,
        shares_receipts=rights.shares_receipts,
        receipts_hidden=rights.receipts_hidden,
        shared_read_seq=old.last_read_seq if catches_up else old.shared_read_seq,
        left_at=left_at,
        changed_at=changed_at if changed else old.changed_at,
        archived=old.archived and rights.folder is not Folder.NONE,
    )
    stops_hiding = old.receipts_hidden and not rights.receipts_hidden and row.shared_read_seq is not None
    return MemberChange(row, reveals_receipt=not row.receipts_hidden and (catches_up or stops_hiding))


def clamp_read(current: int, wanted: int, last_seq: int) -> int:
    """Where a read pointer goes: forward only, never past the last message."""
    return max(current, min(wanted, last_seq))
