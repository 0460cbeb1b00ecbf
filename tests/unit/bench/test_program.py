"""What the bench writes to its load programs, as they read it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from bench.load.program import Lines


@pytest.fixture
def pipe() -> Iterator[tuple[Lines, int]]:
    reader, writer = os.pipe()
    yield Lines(reader), writer
    os.close(reader)


def test_a_line_that_came_with_the_one_before_is_known_to_wait(pipe: tuple[Lines, int]) -> None:
    lines, writer = pipe
    assert not lines.waiting()
    os.write(writer, b"first\nsecond\n")
    assert lines.next() == b"first"
    assert lines.waiting()
    assert lines.next() == b"second"
    assert not lines.waiting()
    os.close(writer)


def test_a_long_line_in_pieces_and_the_end(pipe: tuple[Lines, int]) -> None:
    lines, writer = pipe
    for piece in (b"a" * 1000, b"b" * 1000, b"\nrest"):
        os.write(writer, piece)
    os.close(writer)
    assert lines.next() == b"a" * 1000 + b"b" * 1000
    assert lines.waiting()
    assert lines.next() == b"rest"
    assert lines.next() == b""
