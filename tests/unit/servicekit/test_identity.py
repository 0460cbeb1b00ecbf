"""Service tokens, assertions and the files behind them."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from servicekit.errors import UNAUTHENTICATED_MESSAGE, ChatError, Reason
from servicekit.identity import (
    ActingUser,
    Caller,
    Signer,
    Trust,
    acting_user,
    bind_identity,
    call_metadata,
    current_caller,
    write_keys,
)
from servicekit.runner import StartError
from tests.support.clock import FixedClock
from tests.support.forgery import ASSERTIONS, SERVICE_TOKENS, USER, Forgery, service_claims, sign, user_claims
from tests.support.keys import Keys, make_keys

EDGE = Caller("edge_gateway", "edge")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_keys(tmp_path_factory.mktemp("keys"))


def refused(error: pytest.ExceptionInfo[ChatError]) -> bool:
    return error.value.reason is Reason.UNAUTHENTICATED and error.value.message == UNAUTHENTICATED_MESSAGE


def test_a_service_token_proves_the_service_and_its_kind(keys: Keys) -> None:
    trust = keys.trust()
    for service, kind in (("edge_gateway", "edge"), ("ats_sync", "internal"), ("message_svc", "message_svc")):
        assert trust.verify_service(keys.signer(service).service_token()) == Caller(service, kind)


FULL = ActingUser("a", "b", "c", "d", True, "é", "f", "g", "h")


@pytest.mark.parametrize("user", [USER, ActingUser("u", "r"), FULL], ids=["some", "none", "all"])
def test_an_assertion_carries_every_field_of_the_acting_user(keys: Keys, user: ActingUser) -> None:
    assert keys.trust().verify_assertion(keys.signer().assertion(user), EDGE) == user


@pytest.mark.parametrize("forgery", SERVICE_TOKENS.values(), ids=SERVICE_TOKENS)
def test_every_forged_service_token_is_refused_with_the_same_words(keys: Keys, forgery: Forgery) -> None:
    with pytest.raises(ChatError) as error:
        keys.trust().verify_service(forgery(keys))
    assert refused(error)


@pytest.mark.parametrize("forgery", ASSERTIONS.values(), ids=ASSERTIONS)
def test_every_forged_assertion_is_refused_with_the_same_words(keys: Keys, forgery: Forgery) -> None:
    with pytest.raises(ChatError) as error:
        keys.trust().verify_assertion(forgery(keys), EDGE)
    assert refused(error)


def test_the_forgeries_would_pass_if_they_were_not_forged(keys: Keys) -> None:
    trust = keys.trust()
    assert trust.verify_service(sign(keys, service_claims())) == EDGE
    assert trust.verify_assertion(sign(keys, user_claims()), EDGE).user_id == "user_1"


@pytest.mark.parametrize("token", [None, "", "\ud800", "é.é.é"])
def test_text_that_is_no_token_is_refused_without_a_traceback(keys: Keys, token: str | None) -> None:
    trust = keys.trust()
    with pytest.raises(ChatError) as error:
        trust.verify_service(token)
    assert refused(error)
    with pytest.raises(ChatError) as error:
        trust.verify_assertion(token, EDGE)
    assert refused(error)


def test_a_service_that_may_not_act_for_users_cannot_assert_one(keys: Keys) -> None:
    signer = keys.signer("message_svc")
    with pytest.raises(ChatError) as error:
        keys.trust().verify_assertion(signer.assertion(USER), Caller("message_svc", "message_svc"))
    assert refused(error)


def test_an_assertion_counts_only_for_the_caller_that_signed_it_also_once_it_is_cached(keys: Keys) -> None:
    trust = keys.trust()
    assertion = keys.signer().assertion(USER)
    assert trust.verify_assertion(assertion, EDGE) == USER
    with pytest.raises(ChatError):
        trust.verify_assertion(assertion, Caller("conversation_svc", "conversation_svc"))


def test_a_verified_token_is_refused_once_it_has_expired(keys: Keys) -> None:
    clock = FixedClock()
    trust, signer = keys.trust(clock), keys.signer(clock=clock)
    token, assertion = signer.service_token(), signer.assertion(USER)
    assert trust.verify_service(token) == EDGE
    assert trust.verify_assertion(assertion, EDGE) == USER
    clock.advance(60 + 11)
    assert trust.verify_service(token) == EDGE
    with pytest.raises(ChatError):
        trust.verify_assertion(assertion, EDGE)
    clock.advance(240)
    with pytest.raises(ChatError):
        trust.verify_service(token)


def test_clocks_may_differ_by_ten_seconds(keys: Keys) -> None:
    here, there = FixedClock(), FixedClock()
    there.advance(9)
    assert keys.trust(here).verify_service(keys.signer(clock=there).service_token()) == EDGE
    there.advance(3)
    with pytest.raises(ChatError):
        keys.trust(here).verify_service(keys.signer(clock=there).service_token())


def test_a_signer_signs_again_before_its_credentials_expire(keys: Keys) -> None:
    clock = FixedClock()
    signer = keys.signer(clock=clock)
    token, assertion = signer.service_token(), signer.assertion(USER)
    assert (signer.service_token(), signer.assertion(USER)) == (token, assertion)
    assert signer.assertion(ActingUser("user_2", "recruiter")) != assertion
    clock.advance(30)
    assert signer.service_token() == token
    assert signer.assertion(USER) != assertion
    clock.advance(240)
    assert signer.service_token() != token


def test_a_new_key_and_an_old_one_are_both_believed_during_a_rotation(tmp_path: Path) -> None:
    old = make_keys(tmp_path / "old", {"edge_gateway": "edge"})
    new = make_keys(tmp_path / "new", {"edge_gateway": "edge"})
    both = {
        "keys": [entry for keys in (old, new) for entry in json.loads(keys.trust_file.read_text())["keys"]]
    }
    (tmp_path / "trust.json").write_text(json.dumps(both))
    trust = Trust.from_file(tmp_path / "trust.json")
    for keys in (old, new):
        assert trust.verify_service(keys.signer().service_token()) == EDGE
        assert trust.verify_assertion(keys.signer().assertion(USER), EDGE) == USER


def test_private_keys_are_for_their_owner_only_and_are_kept_when_written_again(tmp_path: Path) -> None:
    write_keys(tmp_path, {"edge_gateway": "edge"})
    path = tmp_path / "edge_gateway.pem"
    before = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    write_keys(tmp_path, {"edge_gateway": "edge", "message_svc": "message_svc"})
    assert path.read_bytes() == before
    assert "PRIVATE" not in (tmp_path / "trust.json").read_text()
    assert {entry["service"] for entry in json.loads((tmp_path / "trust.json").read_text())["keys"]} == {
        "edge_gateway",
        "message_svc",
    }


def test_a_service_that_somebody_added_is_still_believed_when_keys_are_written_again(tmp_path: Path) -> None:
    write_keys(tmp_path / "ours", {"edge_gateway": "edge"})
    write_keys(tmp_path / "theirs", {"ats_sync": "internal"})
    ours, theirs = (json.loads((tmp_path / name / "trust.json").read_text()) for name in ("ours", "theirs"))
    (tmp_path / "ours/trust.json").write_text(json.dumps({"keys": ours["keys"] + theirs["keys"]}))
    write_keys(tmp_path / "ours", {"edge_gateway": "edge"})
    trust = Trust.from_file(tmp_path / "ours/trust.json")
    signer = Signer.from_file("ats_sync", tmp_path / "theirs/ats_sync.pem")
    assert trust.verify_service(signer.service_token()) == Caller("ats_sync", "internal")


def test_a_trust_file_that_somebody_broke_is_named_and_not_overwritten(tmp_path: Path) -> None:
    write_keys(tmp_path, {"edge_gateway": "edge"})
    (tmp_path / "trust.json").write_text("{")
    with pytest.raises(StartError, match="trust file"):
        write_keys(tmp_path, {"edge_gateway": "edge"})
    assert (tmp_path / "trust.json").read_text() == "{"


@pytest.mark.parametrize(
    "content",
    [
        "not json",
        "[]",
        "{}",
        '{"keys": [{}]}',
        '{"keys": [{"service": "a", "caller": "boss", "acts_for_users": true, "public_key": "AAAA"}]}',
        '{"keys": [{"service": "a", "caller": "edge", "acts_for_users": 1, "public_key": "AAAA"}]}',
        '{"keys": [{"service": "a", "caller": "edge", "acts_for_users": true, "public_key": "AAAA"}]}',
        '{"keys": [{"service": "a", "caller": "edge", "acts_for_users": true, "public_key": "!"}]}',
        '{"keys": [{"service": "", "caller": "edge", "acts_for_users": true, "public_key": "AAAA"}]}',
        '{"keys": ["a"]}',
    ],
)
def test_a_trust_file_that_is_not_right_in_every_part_stops_the_start(tmp_path: Path, content: str) -> None:
    path = tmp_path / "trust.json"
    path.write_text(content)
    with pytest.raises(StartError, match="trust file"):
        Trust.from_file(path)


def test_missing_and_wrong_key_files_stop_the_start_with_their_name(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text("no key")
    for path in (tmp_path / "a.pem", tmp_path / "absent.pem"):
        with pytest.raises(StartError, match=path.name):
            Signer.from_file("a", path)
    with pytest.raises(StartError, match="No such file"):
        Trust.from_file(tmp_path / "absent.json")


def test_outside_of_a_call_there_is_no_caller_and_no_acting_user() -> None:
    bind_identity(None, None)
    for ask in (current_caller, acting_user):
        with pytest.raises(ChatError) as error:
            ask()
        assert refused(error)


def test_call_metadata_holds_both_credentials_for_any_grpc_client(keys: Keys) -> None:
    signer, trust = keys.signer(), keys.trust()
    assert dict(call_metadata(signer)).keys() == {"x-chat-service-token"}
    metadata = dict(call_metadata(signer, USER))
    caller = trust.verify_service(metadata["x-chat-service-token"])
    assert trust.verify_assertion(metadata["x-chat-acting-user"], caller) == USER
    assert dict(call_metadata(signer, signer.assertion(USER))) == metadata
