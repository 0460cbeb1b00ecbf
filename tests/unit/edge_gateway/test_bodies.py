"""Request bodies: what they may hold, and that nothing else gets further."""

from __future__ import annotations

import re
import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_gateway.bodies import Fields, parse_object
from edge_gateway.problems import ProblemError

MALFORMED = {
    "empty": b"",
    "cut": b'{"text":"a',
    "a comma too many": b'{"a":1,}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":-Infinity}',
    "a lone surrogate": b'{"text":"\\ud800"}',
    "a lone low surrogate": b'{"text":"\\udc00x"}',
    "not UTF-8": b'{"text":"\xff"}',
    "a surrogate in UTF-8": b'{"text":"\xed\xa0\x80"}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "ten thousand deep": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "a list": b"[]",
    "null": b"null",
    "a string": b'"a"',
    "a NUL": b"\0",
    "two objects": b"{}{}",
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_body_is_refused_at_once_that_is(what: str) -> None:
    took = []
    for _ in range(
        5
    ):  # the best of some, of this thread's own time: what a busy machine pauses is not counted
        started = time.thread_time()
        with pytest.raises(ProblemError) as error:
            parse_object(MALFORMED[what])
        took.append(time.thread_time() - started)
    assert min(took) < 0.05
    assert error.value.problem.code == "validation_failed"
    assert error.value.problem.violations[0].pointer == ""


@given(st.text())
def test_any_text_comes_through_as_it_is(text: str) -> None:
    try:
        body = orjson.dumps({"text": text})
    except TypeError:
        return  # a lone surrogate: not writable
    fields = Fields(parse_object(body))
    read = fields.text("text", longest=10_000)
    assert read == ("" if "\0" in text else text)
    assert bool(fields.violations) is ("\0" in text)


def wrong(fields: Fields) -> list[tuple[str, str]]:
    with pytest.raises(ProblemError) as error:
        fields.finish()
    return [(each.pointer, each.code) for each in error.value.problem.violations]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "required"),
        ("", "required"),
        (5, "type"),
        (["a"], "type"),
        ({}, "type"),
        (True, "type"),
        ("x" * 11, "length"),
        ("a\0b", "format"),
        ("A B", "format"),
    ],
)
def test_a_required_text_is_refused_that_is_not_as_it_must_be(value: Any, code: str) -> None:
    fields = Fields({"name": value})
    fields.text("name", longest=10, required=True, pattern=re.compile(r"[!-~\0]+"))
    assert wrong(fields) == [("/name", code)]


@pytest.mark.parametrize(
    ("value", "code"),
    [(None, "required"), ("1", "type"), (1.0, "type"), (True, "type"), (-1, "range"), (2**53, "range"),
     (2**63, "range"), (1e300, "type"), ([], "type")],
)  # fmt: skip
def test_an_integer_is_refused_that_is_not_as_it_must_be(value: Any, code: str) -> None:
    fields = Fields({"n": value})
    fields.integer("n")
    assert wrong(fields) == [("/n", code)]


def test_everything_wrong_is_told_at_once_by_its_path() -> None:
    fields = Fields({"message": {"text": 1}, "context": [], "block": "yes"})
    message = fields.child("message", required=True)
    assert message is not None
    message.text("text", longest=10, required=True)
    message.text("clientMessageId", longest=10, required=True)
    assert fields.child("context") is None
    assert fields.child("other", required=True) is None
    assert fields.boolean("block") is False
    assert wrong(fields) == [
        ("/message/text", "type"),
        ("/message/clientMessageId", "required"),
        ("/context", "type"),
        ("/other", "required"),
        ("/block", "type"),
    ]


def test_what_is_absent_or_null_is_the_default() -> None:
    fields = Fields({"a": None, "b": None, "c": None})
    assert (fields.text("a", longest=1), fields.boolean("b"), fields.child("c")) == ("", False, None)
    fields.finish()


def test_length_counts_characters_not_bytes() -> None:
    fields = Fields({"text": "👩‍👩‍👧" * 2})
    assert fields.text("text", longest=10) == "👩‍👩‍👧" * 2
    fields.finish()
