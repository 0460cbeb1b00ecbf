"""Path and query parameters."""

from __future__ import annotations

from typing import Any

import pytest
from yarl import URL

from edge_gateway import params
from edge_gateway.problems import ProblemError

UUID = "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"


def wrong(call: Any, *arguments: Any) -> tuple[str, str]:
    with pytest.raises(ProblemError) as error:
        call(*arguments)
    problem = error.value.problem
    return problem.code, problem.violations[0].pointer if problem.violations else ""


def test_an_id_that_cannot_be_one_is_not_found() -> None:
    assert params.known_shape(UUID) == UUID
    for text in (
        "",
        "x",
        UUID.upper(),
        f"{{{UUID}}}",
        f"urn:uuid:{UUID}",
        UUID.replace("-", ""),
        UUID + "0",
        UUID + "\n",
    ):
        assert wrong(params.known_shape, text) == ("not_found", "")


def test_a_limit_is_from_one_to_a_hundred() -> None:
    assert params.limit({}) == 50
    assert params.limit({"limit": "1"}) == 1
    assert params.limit({"limit": "100"}) == 100
    for text in ("0", "101", "-1", "", "x", "1.0", "1e1", " 1", "٣", "9" * 40):
        assert wrong(params.limit, {"limit": text}) == ("validation_failed", "/limit")


def test_at_most_one_position_may_be_given() -> None:
    assert params.position({}) is None
    assert params.position({"aroundSeq": "7"}) == ("aroundSeq", 7)
    assert wrong(params.position, {"beforeSeq": "1", "afterSeq": "1"}) == ("validation_failed", "/afterSeq")
    for text in ("", "-1", "x", str(2**53)):
        assert wrong(params.position, {"beforeSeq": text}) == ("validation_failed", "/beforeSeq")


def test_a_choice_is_one_of_its_words() -> None:
    assert params.choice({}, "folder", {"inbox": 1}, "inbox") == "inbox"
    assert wrong(params.choice, {"folder": "Inbox"}, "folder", {"inbox": 1}, "inbox") == (
        "validation_failed",
        "/folder",
    )


def test_a_user_id_in_a_path_is_printable_and_not_too_long() -> None:
    assert params.user_id("auth0|ada/1") == "auth0|ada/1"
    for text in ("", "a" * 201, "a\0", "a\n"):
        assert wrong(params.user_id, text) == ("validation_failed", "/userId")


HUNDRED = ",".join(map(str, range(100)))


def asked(query: str) -> list[str]:
    """Of a query string as it comes."""
    return params.user_ids(URL.build(query_string=query, encoded=True).query)


def test_user_ids_are_parted_by_commas_each_once() -> None:
    assert asked("userIds=b,a|1,b") == asked("userIds=b%2Ca%7C1") == ["b", "a|1"]
    assert asked("userIds=b,a&userIds=b,c") == ["b", "a", "c"]
    assert len(asked(f"userIds={HUNDRED}")) == 100


def test_a_user_id_that_holds_a_comma_is_asked_for_by_itself() -> None:
    assert asked("userId=uid%3Dada%2Cou%3Dpeople&userId=b") == ["uid=ada,ou=people", "b"]
    assert asked("userId=a,b&userIds=c,b,c&userId=b") == ["c", "b", "a,b"]
    assert len(asked("&".join(f"userId={number}" for number in range(100)))) == 100


@pytest.mark.parametrize(
    ("query", "pointer", "code"),
    [
        ("", "/userIds", "required"),
        ("userIds=", "/userIds", "required"),
        ("userIds=,", "/userIds", "required"),
        ("userIds=a,", "/userIds", "format"),
        ("userIds=a%00", "/userIds", "format"),
        (f"userIds={'x' * 201}", "/userIds", "format"),
        ("userIds=&userId=a", "/userIds", "format"),
        ("userId=", "/userId", "format"),
        ("userIds=a&userId=a%00", "/userId", "format"),
        (f"userId={'x' * 201}", "/userId", "format"),
        (f"userIds={HUNDRED},more", "/userIds", "length"),
        (f"userIds={HUNDRED}&userId=more", "/userIds", "length"),
        ("&".join(f"userId={number}" for number in range(101)), "/userId", "length"),
    ],
)
def test_user_ids_that_are_none_are_refused(query: str, pointer: str, code: str) -> None:
    with pytest.raises(ProblemError) as refused:
        asked(query)
    [violation] = refused.value.problem.violations
    assert (violation.pointer, violation.code) == (pointer, code)
