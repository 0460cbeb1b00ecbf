"""Where a run's document is kept."""

from __future__ import annotations

from pathlib import Path

from bench import results


def document(value: float) -> dict[str, object]:
    return results.document({"date": "2026-01-31", "commit": "abc1234"}, [], {"sends": [{"per_s": value}]})


def test_two_runs_of_one_day_and_release_are_both_kept(tmp_path: Path) -> None:
    first, second = (results.keep(document(value), tmp_path) for value in (1.0, 2.0))
    assert [first.name, second.name] == ["2026-01-31-abc1234.json", "2026-01-31-abc1234-2.json"]
    assert [results.load(each)["rows"]["sends"][0]["per_s"] for each in (first, second)] == [1.0, 2.0]
