"""One assertion of many people: one signature for a batch."""

from __future__ import annotations

import time
from typing import Any

import pytest

from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser, Caller
from servicekit.identity.tokens import MAX_USERS
from tests.support.forgery import USER, sign, user_claims
from tests.support.keys import Keys, make_keys

EDGE = Caller("edge_gateway", "edge")
FULL = ActingUser("a", "b", "c", "d", True, "é", "f", "g", "h", "i@example.com")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_keys(tmp_path_factory.mktemp("keys"))


def together(keys: Keys, **changes: Any) -> str:
    now = int(time.time())
    claims = {"iss": "edge_gateway", "aud": "splits-chat-user-lists", "iat": now, "exp": now + 60}
    return sign(keys, {**claims, "users": [{"sub": "ada", "role": "recruiter"}], **changes})


def test_it_carries_every_field_of_everybody_in_their_order(keys: Keys) -> None:
    people = [USER, FULL, ActingUser("u", "r"), USER]
    assert keys.trust().verify_assertion_together(keys.signer().assertion_together(people), EDGE) == people
    assert keys.trust().verify_assertion_together(together(keys), EDGE) == [ActingUser("ada", "recruiter")]


@pytest.mark.parametrize(
    "changes",
    [
        {"users": []},
        {"users": None},
        {"users": ["ada"]},
        {"users": [{"sub": "ada"}]},
        {"users": [{"sub": "ada", "role": "r", "email": 1}]},
        {"users": [{"sub": f"u{number}", "role": "r"} for number in range(MAX_USERS + 1)]},
        {"aud": "splits-chat-users"},
        {"exp": int(time.time()) - 60},
        {"exp": int(time.time()) + 3600},
        {"iss": "conversation_svc"},
    ],
)
def test_whatever_is_wrong_with_it_is_one_refusal(keys: Keys, changes: dict[str, Any]) -> None:
    with pytest.raises(ChatError) as refused:
        keys.trust().verify_assertion_together(together(keys, **changes), EDGE)
    assert refused.value.reason is Reason.UNAUTHENTICATED


def test_it_is_no_assertion_of_one_person_nor_the_other_way_round(keys: Keys) -> None:
    trust = keys.trust()
    with pytest.raises(ChatError):
        trust.verify_assertion(together(keys, sub="ada", role="recruiter"), EDGE)
    with pytest.raises(ChatError):
        trust.verify_assertion_together(sign(keys, user_claims(users=[{"sub": "ada", "role": "r"}])), EDGE)


def test_only_a_service_that_may_act_for_users_can_assert_them(keys: Keys) -> None:
    assertion = keys.signer("message_svc").assertion_together([USER])
    with pytest.raises(ChatError):
        keys.trust().verify_assertion_together(assertion, Caller("message_svc", "message_svc"))
