"""What a new gate makes of a member's row."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from message_svc.domain import (
    Folder,
    GateSnapshot,
    HeldGate,
    MemberRow,
    Refused,
    Rights,
    State,
    apply_rights,
)

CONVERSATION = UUID("0193736e-0000-7000-8000-000000000001")
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
EARLIER = NOW - timedelta(hours=1)
ADA = Rights(
    user_id="ada",
    can_send=True,
    refusal=Refused.UNDELIVERABLE,
    message_limit=None,
    folder=Folder.INBOX,
    state=State.ACTIVE,
    version=2,
    shares_receipts=True,
    left=False,
)
ROW = MemberRow(
    user_id="ada",
    conversation_id=CONVERSATION,
    folder=Folder.INBOX,
    state=State.ACTIVE,
    version=2,
    shares_receipts=True,
    last_read_seq=4,
    shared_read_seq=4,
    unread=3,
    left_at=None,
    activity_at=EARLIER,
    changed_at=EARLIER,
)


def held(rights: Rights) -> HeldGate:
    return HeldGate(GateSnapshot(CONVERSATION, 3, State.ACTIVE, {"ada": rights}, b""), 7, 9, EARLIER)


def test_a_joiner_starts_at_the_last_message_with_nothing_unread() -> None:
    row = apply_rights(None, ADA, held(ADA), NOW).row

    assert (row.last_read_seq, row.unread, row.activity_at, row.changed_at) == (7, 0, EARLIER, NOW)


def test_whoever_comes_back_is_a_joiner() -> None:
    row = apply_rights(replace(ROW, left_at=EARLIER), ADA, held(ADA), NOW).row

    assert (row.last_read_seq, row.unread, row.left_at) == (7, 0, None)


def test_a_block_leaves_no_trace_in_the_blocked_persons_row() -> None:
    blocked = replace(ADA, can_send=False, shares_receipts=False)

    row = apply_rights(ROW, blocked, held(blocked), NOW).row

    assert row == replace(ROW, shares_receipts=False)


def test_what_the_member_may_know_moves_changed_at() -> None:
    for change in ({"version": 3}, {"state": State.WITHDRAWN}, {"folder": Folder.NONE}, {"left": True}):
        rights = replace(ADA, **change)
        assert apply_rights(ROW, rights, held(rights), NOW).row.changed_at == NOW, change


def test_a_push_that_waited_for_a_later_send_does_not_take_changed_at_back() -> None:
    later = NOW + timedelta(seconds=1)
    for old in (replace(ROW, changed_at=later), replace(ROW, changed_at=later, left_at=EARLIER)):
        rights = replace(ADA, version=3)
        assert apply_rights(old, rights, held(rights), NOW).row.changed_at == later


def test_receipts_held_back_are_revealed_once_sharing_starts() -> None:
    hidden = replace(ROW, shares_receipts=False, shared_read_seq=None)

    change = apply_rights(hidden, ADA, held(ADA), NOW)

    assert change.reveals_receipt
    assert change.row.shared_read_seq == 4
    assert not apply_rights(change.row, ADA, held(ADA), NOW).reveals_receipt


def test_receipts_given_stay_as_they_are_when_sharing_ends() -> None:
    hides = replace(ADA, shares_receipts=False)

    assert apply_rights(ROW, hides, held(hides), NOW).row.shared_read_seq == 4


def test_leaving_is_dated_once() -> None:
    gone = replace(ADA, left=True)

    first = apply_rights(ROW, gone, held(gone), NOW).row
    again = apply_rights(first, gone, held(gone), NOW + timedelta(hours=1)).row

    assert first.left_at == again.left_at == NOW
