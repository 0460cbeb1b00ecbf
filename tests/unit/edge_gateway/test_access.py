"""Revocations and bans: who with a good token is not let in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_gateway.tokens.access import Access, AccessUnknownError, Standing, Table
from edge_gateway.tokens.issuers import Actor
from edge_gateway.tokens.verifier import Principal
from servicekit.identity import ActingUser

NOW = 1_800_000_000.0


def principal(user_id: str = "ada", *, sid: str | None = "s1", issued_at: float = NOW) -> Principal:
    user = ActingUser(user_id=user_id, role="recruiter", display_name="", session_id=sid)
    return Principal(user, expires_at=issued_at + 600, issued_at=issued_at)


def test_who_was_never_heard_of_is_let_in() -> None:
    assert Table().standing(principal(), NOW) is Standing.LET_IN


@pytest.mark.parametrize(
    ("issued_at", "standing"),
    [
        (0.0, Standing.REVOKED),  # its token does not say
        (NOW - 1, Standing.REVOKED),
        (NOW, Standing.REVOKED),
        (NOW + 0.9, Standing.REVOKED),  # issuers that count fractions: the second is over all the same
        (NOW + 1, Standing.LET_IN),
    ],
)
def test_tokens_of_the_revocations_own_second_are_over_and_later_ones_are_not(
    issued_at: float, standing: Standing
) -> None:
    table = Table()
    table.end_tokens("ada", int(NOW))
    assert table.standing(principal(issued_at=issued_at), NOW + 5) is standing
    assert table.standing(principal("bob", issued_at=issued_at), NOW + 5) is Standing.LET_IN


def test_one_session_of_somebody_may_be_over_and_the_others_go_on() -> None:
    table = Table()
    table.end_session("ada", "s1")
    table.end_session("ada", "s2")
    assert table.standing(principal(sid="s1", issued_at=NOW + 99), NOW) is Standing.REVOKED
    assert table.standing(principal(sid="s2"), NOW) is Standing.REVOKED
    assert table.standing(principal(sid="s3"), NOW) is Standing.LET_IN
    assert table.standing(principal(sid=None), NOW) is Standing.LET_IN
    assert table.standing(principal("bob", sid="s1"), NOW) is Standing.LET_IN


def test_a_ban_that_is_over_lets_in_by_itself() -> None:
    table = Table()
    table.ban("ada", NOW + 10)
    assert table.standing(principal(), NOW + 9.999) is Standing.BANNED
    assert table.standing(principal(), NOW + 10) is Standing.LET_IN
    table.ban("ada", None)
    assert table.standing(principal(), NOW + 1e9) is Standing.BANNED
    table.ban("ada", NOW - 1)
    assert table.standing(principal(), NOW) is Standing.LET_IN


def test_a_ban_that_is_lifted_leaves_revocations_as_they_are() -> None:
    table = Table()
    table.ban("ada", None)
    table.end_session("ada", "s1")
    table.lift_ban("ada")
    assert table.standing(principal(sid="s1"), NOW) is Standing.REVOKED
    assert table.standing(principal(sid="s2"), NOW) is Standing.LET_IN
    table.ban("bob", None)
    table.lift_ban("bob")
    table.lift_ban("bob")
    assert table.standing(principal("bob"), NOW) is Standing.LET_IN


def test_a_token_that_is_over_does_not_tell_that_its_owner_is_banned() -> None:
    table = Table()
    table.ban("ada", None)
    table.end_tokens("ada", int(NOW))
    assert table.standing(principal(issued_at=NOW), NOW) is Standing.REVOKED
    assert table.standing(principal(issued_at=NOW + 1), NOW) is Standing.BANNED


@pytest.mark.parametrize("sid", ["theirs", "its own"])
def test_whoever_acts_for_somebody_is_let_in_where_both_are(sid: str) -> None:
    acting = replace(principal(sid="its own"), actor=Actor("support", "theirs"))
    mute = replace(acting, actor=Actor("support", None))
    table = Table()
    assert table.standing(acting, NOW) is Standing.LET_IN
    table.ban("support", NOW + 10)
    assert table.standing(acting, NOW + 9) is Standing.BANNED
    assert table.standing(acting, NOW + 10) is Standing.LET_IN
    assert table.standing(principal(), NOW) is Standing.LET_IN
    table.ban("ada", None)
    assert table.standing(acting, NOW + 10) is Standing.BANNED
    table.end_session("support", sid)
    assert table.standing(acting, NOW) is Standing.REVOKED
    assert table.standing(mute, NOW) is (Standing.REVOKED if sid == "its own" else Standing.BANNED)
    table.lift_ban("ada")
    table.lift_ban("support")
    assert table.standing(acting, NOW) is Standing.REVOKED
    assert table.standing(principal(sid=sid), NOW) is Standing.LET_IN


def test_tokens_of_who_acts_for_somebody_are_over_as_their_own_are() -> None:
    table = Table()
    table.end_tokens("support", int(NOW))
    for issued_at, standing in ((NOW, Standing.REVOKED), (NOW + 1, Standing.LET_IN)):
        acting = replace(principal(issued_at=issued_at), actor=Actor("support", None))
        assert table.standing(acting, NOW) is standing


def test_before_anything_is_known_nobody_is_let_in() -> None:
    access = Access()
    assert not access.known
    with pytest.raises(AccessUnknownError):
        access.standing(principal(), NOW)
    access.use(Table())
    assert access.known
    assert access.standing(principal(), NOW) is Standing.LET_IN
