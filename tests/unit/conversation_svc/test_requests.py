"""Answers to a request, by state and side."""

from __future__ import annotations

from datetime import timedelta

import pytest

from conversation_svc.domain import (
    Refusal,
    Side,
    State,
    answer_accept,
    answer_decline,
    answer_withdraw,
    expire,
)
from tests.support.situations import CASES, NOW, conversation

CLOSED = Refusal.REQUEST_CLOSED
# case -> what accept, decline (of the recipient) and withdraw (of the initiator) come to
ANSWERS: dict[str, tuple[State | Refusal, State | Refusal, State | Refusal]] = {
    "request": (State.ACTIVE, State.DECLINED, State.WITHDRAWN),
    "active": (State.ACTIVE, CLOSED, CLOSED),
    "declined": (CLOSED, State.DECLINED, State.WITHDRAWN),
    "withdrawn": (CLOSED, CLOSED, State.WITHDRAWN),
    "withdrawn, was declined": (CLOSED, State.WITHDRAWN, State.WITHDRAWN),
    "expired": (CLOSED, CLOSED, CLOSED),
    "expired, was declined": (CLOSED, State.EXPIRED, CLOSED),
}


@pytest.mark.parametrize("case", CASES)
def test_an_answer_is_allowed_or_a_repeat_or_comes_too_late(case: str) -> None:
    here = conversation(case)

    assert (
        answer_accept(here, Side.RECIPIENT, blocks_initiator=False),
        answer_decline(here, Side.RECIPIENT),
        answer_withdraw(here, Side.INITIATOR),
    ) == ANSWERS[case]


@pytest.mark.parametrize("case", CASES)
def test_nobody_answers_for_the_other_side(case: str) -> None:
    here = conversation(case)

    assert answer_accept(here, Side.INITIATOR, blocks_initiator=False) is Refusal.FORBIDDEN
    assert answer_decline(here, Side.INITIATOR) is Refusal.FORBIDDEN
    assert answer_withdraw(here, Side.RECIPIENT) is Refusal.FORBIDDEN


def test_who_blocks_the_sender_cannot_accept_them() -> None:
    accept = answer_accept(conversation("request"), Side.RECIPIENT, blocks_initiator=True)
    repeat = answer_accept(conversation("active"), Side.RECIPIENT, blocks_initiator=True)

    assert accept is Refusal.UNDELIVERABLE
    assert repeat is State.ACTIVE


@pytest.mark.parametrize("case", CASES)
def test_only_what_waits_to_its_initiator_ends_and_not_before_its_time(case: str) -> None:
    here = conversation(case)
    over = here.expires_at

    assert expire(here, over - timedelta(microseconds=1)) is here.state
    ends = case in ("request", "declined")
    assert (
        expire(here, over)
        is expire(here, over + timedelta(days=9))
        is (State.EXPIRED if ends else here.state)
    )
    assert over == NOW + timedelta(days=30)
