"""Starting: what a pair's earlier conversations say about a new one."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from conversation_svc.domain import (
    Conversation,
    Existing,
    Join,
    Profile,
    Refusal,
    Role,
    Rules,
    Start,
    StartNew,
    State,
    TryAgain,
    decide_start,
)
from tests.support.situations import ADA, BOB, CASES, NOW, conversation

RULES = Rules(
    request_ttl=timedelta(days=30),
    denied_starts=frozenset({(Role.CANDIDATE, Role.CANDIDATE)}),
    context_origins=frozenset({"https://jobs.example.com", "http://localhost:3000"}),
)


def start(
    who: Profile = ADA,
    *,
    job: str = "",
    earlier: Sequence[Conversation] = (),
    blocked: bool = False,
    connected: bool = False,
    whom: Profile | None = None,
    after: timedelta = timedelta(),
) -> Start:
    return decide_start(
        who,
        whom or (BOB if who is ADA else ADA),
        job,
        of_pair=earlier,
        blocked=blocked,
        connected=connected,
        now=NOW + after,
        rules=RULES,
    )


def test_strangers_start_with_a_request_and_people_who_know_each_other_at_once() -> None:
    assert start() == StartNew(State.REQUEST)
    assert start(connected=True) == StartNew(State.ACTIVE)


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_an_open_conversation_for_the_job_is_where_the_message_goes(case: str, blocked: bool) -> None:
    earlier = conversation(case)

    assert start(earlier=[earlier], blocked=blocked) == Existing(earlier)
    assert start(BOB, earlier=[earlier], blocked=blocked) == Existing(earlier)


@pytest.mark.parametrize("case", ["request", "declined"])
@pytest.mark.parametrize("blocked", [False, True])
def test_a_sender_cannot_tell_waiting_from_declined_or_blocked_by_asking_about_another_job(
    case: str, blocked: bool
) -> None:
    assert start(job="other", earlier=[conversation(case)], blocked=blocked) is Refusal.REQUEST_PENDING


def test_the_recipients_own_start_is_a_reply_to_the_waiting_request() -> None:
    waiting = conversation("request")

    assert start(BOB, job="other", earlier=[waiting]) == Existing(waiting)
    assert start(BOB, job="other", earlier=[waiting], blocked=True) == Existing(waiting)


def test_both_sides_waiting_at_once_cannot_be() -> None:
    """Bob declined and then wrote about another job: ada's next message to him is a reply to that."""
    declined = conversation("declined")
    bobs = conversation("request", id=uuid.UUID(int=2), job_id="x", initiator_id="bob", recipient_id="ada")

    assert start(BOB, job="x", earlier=[declined]) == StartNew(State.REQUEST)
    assert start(ADA, job="y", earlier=[declined, bobs]) == Existing(bobs)


@pytest.mark.parametrize("case", ["active", "withdrawn", "expired"])
def test_what_waits_no_more_does_not_stand_in_the_way(case: str) -> None:
    assert start(job="other", earlier=[conversation(case)]) == StartNew(State.REQUEST)


@pytest.mark.parametrize("case", ["request", "declined"])
def test_a_request_waits_until_its_time_is_over_whatever_it_waits_for(case: str) -> None:
    earlier = [conversation(case)]

    assert start(job="other", earlier=earlier, after=timedelta(days=29)) is Refusal.REQUEST_PENDING
    assert start(job="other", earlier=earlier, after=timedelta(days=30)) == StartNew(State.REQUEST)


def test_whoever_was_declined_and_withdrew_cools_down_until_the_request_would_have_ended() -> None:
    earlier = [conversation("withdrawn, was declined")]

    assert start(job="other", earlier=earlier) is Refusal.UNDELIVERABLE
    assert start(job="other", earlier=earlier, after=timedelta(days=30)) == StartNew(State.REQUEST)
    assert start(BOB, job="other", earlier=earlier) == StartNew(State.REQUEST)


def test_a_block_either_way_and_an_unknown_person_are_the_same() -> None:
    assert start(blocked=True) is Refusal.UNDELIVERABLE
    assert start(whom=Profile("nobody")) is Refusal.UNDELIVERABLE
    assert start(blocked=True, connected=True) is Refusal.UNDELIVERABLE


def test_roles_that_may_not_start_are_told_so() -> None:
    other = replace(BOB, user_id="bea")

    assert start(BOB, whom=other) is Refusal.FORBIDDEN
    assert start(BOB, whom=other, connected=True) is Refusal.FORBIDDEN
    assert start(BOB, whom=ADA) == StartNew(State.REQUEST)


def test_what_was_never_opened_is_opened_by_whoever_writes_next() -> None:
    unopened = conversation("request", opened=False)

    assert start(ADA, earlier=[unopened]) == TryAgain(unopened)
    assert start(BOB, earlier=[unopened]) == Join(unopened)
    assert start(BOB, job="other", earlier=[unopened]) == Join(unopened)
    assert start(ADA, job="other", earlier=[unopened]) is Refusal.REQUEST_PENDING
    for who in (ADA, BOB):
        assert start(who, earlier=[unopened], blocked=True) is Refusal.UNDELIVERABLE


def test_what_was_joined_and_still_not_opened_is_joined_again() -> None:
    joined = conversation("active", opened=False)

    assert start(ADA, earlier=[joined]) == TryAgain(joined)
    assert start(BOB, earlier=[joined]) == start(BOB, job="other", earlier=[joined]) == Join(joined)


def test_people_who_know_each_other_start_about_each_job_apart() -> None:
    unopened = conversation("active", opened=False)

    assert start(BOB, earlier=[unopened], connected=True) == Join(unopened)
    assert start(BOB, job="other", earlier=[unopened], connected=True) == StartNew(State.ACTIVE)
