"""Who may write: the pure rule that single and batched sends share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from message_svc.domain import (
    Folder,
    GateSnapshot,
    HeldGate,
    NewMessage,
    Placed,
    Refused,
    Repeated,
    Rights,
    State,
    StoredMessage,
    clamp_read,
    decide,
    hash_body,
)

KEY = b"a test key of 16 bytes or more"
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
CONVERSATION = UUID("0193736e-0000-7000-8000-000000000001")
MESSAGE = UUID("0193736e-0000-7000-8000-0000000000aa")


def rights(user_id: str, **changes: object) -> Rights:
    fields: dict[str, object] = {
        "user_id": user_id,
        "can_send": True,
        "refusal": Refused.UNDELIVERABLE,
        "message_limit": None,
        "folder": Folder.INBOX,
        "state": State.ACTIVE,
        "version": 1,
        "shares_receipts": True,
        "left": False,
    }
    return Rights(**{**fields, **changes})  # type: ignore[arg-type]


def gate(*members: Rights, last_seq: int = 0, last_at: datetime | None = None) -> HeldGate:
    snapshot = GateSnapshot(CONVERSATION, 1, State.ACTIVE, {m.user_id: m for m in members}, b"raw")
    return HeldGate(snapshot, last_seq, last_seq, last_at)


def new(sender: str = "ada", text: str = "hello", client_id: str = "c1") -> NewMessage:
    return NewMessage(
        UUID("0193736e-0000-7000-8000-0000000000aa"),
        CONVERSATION,
        sender,
        client_id,
        text,
        hash_body(KEY, text),
    )


def stored(message: NewMessage) -> StoredMessage:
    decision = decide(message, gate(rights(message.sender_id)), None, NOW)
    assert isinstance(decision, Placed)
    return decision.message


def test_an_allowed_message_takes_the_next_number_and_moves_the_gate() -> None:
    decision = decide(new(), gate(rights("ada"), last_seq=7), None, NOW)

    assert isinstance(decision, Placed)
    assert (decision.message.seq, decision.message.change_seq) == (8, 8)
    assert (decision.gate.last_seq, decision.gate.last_change, decision.gate.last_at) == (8, 8, NOW)


def test_times_of_a_conversation_never_run_backwards() -> None:
    ahead = NOW + timedelta(seconds=3)

    decision = decide(new(), gate(rights("ada"), last_seq=1, last_at=ahead), None, NOW)

    assert isinstance(decision, Placed)
    assert decision.message.created_at == ahead


@pytest.mark.parametrize(
    "held", [None, gate(rights("bob")), gate(rights("ada", left=True))], ids=["no gate", "stranger", "left"]
)
def test_whoever_is_not_in_the_conversation_learns_nothing(held: HeldGate | None) -> None:
    assert decide(new(), held, None, NOW) is Refused.NOT_FOUND
    assert decide(new(), held, stored(new()), NOW) is Refused.NOT_FOUND


@pytest.mark.parametrize("refusal", list(Refused))
def test_a_member_without_the_right_gets_the_refusal_of_the_gate(refusal: Refused) -> None:
    assert decide(new(), gate(rights("ada", can_send=False, refusal=refusal)), None, NOW) is refusal


def test_a_repeat_is_a_success_whatever_happened_to_the_rights_since() -> None:
    first = stored(new())
    blocked = gate(rights("ada", can_send=False), last_seq=1)

    assert decide(new(), blocked, first, NOW) == Repeated(first)


def test_the_same_client_id_with_another_body_is_a_conflict() -> None:
    first = stored(new())

    assert decide(new(text="other"), gate(rights("ada")), first, NOW) is Refused.IDEMPOTENCY_CONFLICT


def test_a_request_takes_one_message_and_no_second() -> None:
    limited = rights("ada", message_limit=1)

    assert isinstance(decide(new(), gate(limited), None, NOW), Placed)
    assert decide(new(), gate(limited, last_seq=1), None, NOW) is Refused.REQUEST_PENDING


@given(st.text(max_size=50), st.text(max_size=50))
def test_only_equal_bodies_hash_alike(one: str, other: str) -> None:
    assert (hash_body(KEY, one) == hash_body(KEY, other)) == (one == other)


@given(st.integers(0, 2**63), st.integers(0, 2**64), st.integers(0, 2**63))
def test_a_read_pointer_never_goes_back_nor_past_the_end(current: int, wanted: int, last: int) -> None:
    current = min(current, last)

    moved = clamp_read(current, wanted, last)

    assert current <= moved <= last
