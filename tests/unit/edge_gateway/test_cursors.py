"""List cursors: only the caller's own, of this very list."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_gateway.cursors import CursorSigner
from edge_gateway.problems import ProblemError

SIGNER = CursorSigner(b"a key of the edges")
POSITION = [1732752000, 5, "0193"]
TEXT = SIGNER.write(POSITION, caller="ada", query="conversations inbox")


def refused(text: str, caller: str = "ada", query: str = "conversations inbox") -> Any:
    with pytest.raises(ProblemError) as error:
        SIGNER.read(text, caller=caller, query=query)
    problem = error.value.problem
    assert (problem.status, problem.code) == (400, "validation_failed")
    assert problem.violations[0].pointer == "/cursor"


def test_a_cursor_gives_back_its_position() -> None:
    assert SIGNER.read(TEXT, caller="ada", query="conversations inbox") == POSITION
    assert (
        CursorSigner(b"a key of the edges").read(TEXT, caller="ada", query="conversations inbox") == POSITION
    )


def test_a_cursor_is_its_callers_and_its_lists_alone() -> None:
    for other in ("bob", "", "Ada", "ada\0"):
        with pytest.raises(ProblemError) as error:
            SIGNER.read(TEXT, caller=other, query="conversations inbox")
        assert error.value.problem.code == "not_found"
    for query in ("conversations sent", "conversations", "conversations inbox "):
        refused(TEXT, query=query)
        refused(TEXT, caller="bob", query=query)
    refused(CursorSigner(b"another key").write(POSITION, caller="ada", query="conversations inbox"))


def test_a_cursor_with_any_bit_flipped_is_none() -> None:
    raw = base64.urlsafe_b64decode(TEXT + "=" * (-len(TEXT) % 4))
    for bit in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        refused(base64.urlsafe_b64encode(bytes(flipped)).rstrip(b"=").decode())


def test_a_cursor_has_one_text() -> None:
    refused(TEXT + "=" * (-len(TEXT) % 4 or 4))
    refused(f" {TEXT}")
    last = TEXT[-1]
    spare = chr(ord(last) + 1)
    if (len(TEXT) * 6) % 8:
        refused(TEXT[:-1] + spare)


@given(st.text(max_size=80))
def test_no_text_but_a_cursor_is_one(text: str) -> None:
    refused(text)


def test_a_very_long_text_is_none() -> None:
    refused("A" * 3000)
