"""Path and query parameters."""

from __future__ import annotations

from typing import Any

import pytest

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


def test_user_ids_are_parted_by_commas_each_once() -> None:
    assert params.user_ids({"userIds": "b,a|1,b"}) == ["b", "a|1"]
    assert len(params.user_ids({"userIds": ",".join(map(str, range(100)))})) == 100


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("", "required"),
        (",", "required"),
        ("a,", "format"),
        ("a\0", "format"),
        ("x" * 201, "format"),
        (",".join(map(str, range(101))), "length"),
    ],
)
def test_user_ids_that_are_none_are_refused(given: str, code: str) -> None:
    with pytest.raises(ProblemError) as refused:
        params.user_ids({"userIds": given})
    [violation] = refused.value.problem.violations
    assert (violation.pointer, violation.code) == ("/userIds", code)
