"""Named queries: how a file is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from servicekit.db import Queries, check_schema_name


def load(tmp_path: Path, text: str) -> Queries:
    path = tmp_path / "queries.sql"
    path.write_text(text, encoding="utf-8")
    return Queries.load(path)


def test_each_block_is_a_query_with_its_own_comments(tmp_path: Path) -> None:
    q = load(
        tmp_path,
        """-- About the file.

-- name: first
SELECT 1
-- inside
WHERE true;

-- Why the second is there.
-- name: second
SELECT 2;
""",
    )
    assert q.first.sql == "-- first\nSELECT 1\n-- inside\nWHERE true"
    assert q.second.sql == "-- second\n-- Why the second is there.\nSELECT 2"
    assert [query.name for query in q] == ["first", "second"]
    assert q["first"] is q.first


def test_an_unknown_query_names_the_file(tmp_path: Path) -> None:
    q = load(tmp_path, "-- name: first\nSELECT 1;\n")
    with pytest.raises(AttributeError, match=r"queries\.sql holds no query named 'secnod'"):
        q.secnod  # noqa: B018 - to look is to ask


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("SELECT 1;\n", "before the first"),
        ("-- name: a\nSELECT 1;\n-- name: a\nSELECT 2;\n", "is taken"),
        ("-- name: a\n-- nothing\n-- name: b\nSELECT 1;\n", "'a' is empty"),
        ("-- name: two words\nSELECT 1;\n", "before the first"),
        ("-- name: a-b\nSELECT 1;\n", "cannot name a query"),
        ("-- name: load\nSELECT 1;\n", "cannot name a query"),
    ],
)
def test_a_malformed_file_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        load(tmp_path, text)


@pytest.mark.parametrize("name", ["", "a-b", "A", "a b", "1a", 'a"', "a;drop", "a" * 64])
def test_a_schema_name_that_needs_quoting_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="schema name"):
        check_schema_name(name)
