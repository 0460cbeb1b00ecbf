"""Which migrations run, and which databases are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from servicekit.migrations import Migration, MigrationError, check_server, pending, read_migrations


def migration(version: int, checksum: str = "") -> Migration:
    return Migration(version, f"{version:04d}_x.sql", "SELECT 1", checksum or f"sum{version}")


def applied(*versions: int) -> dict[int, tuple[str, str]]:
    return {version: (f"{version:04d}_x.sql", f"sum{version}") for version in versions}


def test_what_has_not_run_is_pending_in_order() -> None:
    files = [migration(1), migration(2), migration(3)]
    assert pending(files, {}) == files
    assert pending(files, applied(1)) == files[1:]
    assert pending(files, applied(1, 2, 3)) == []


def test_a_changed_file_is_refused() -> None:
    with pytest.raises(MigrationError, match=r"0001_x\.sql was changed after it ran"):
        pending([migration(1, "other"), migration(2)], applied(1))


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(MigrationError, match=r"0001_x\.sql has run .* missing"):
        pending([migration(2)], applied(1, 2))


def test_versions_of_a_newer_release_are_left_alone() -> None:
    assert pending([migration(1)], applied(1, 2, 3)) == []


def test_a_new_file_before_one_that_ran_is_refused() -> None:
    with pytest.raises(MigrationError, match="give it a new number"):
        pending([migration(1), migration(2), migration(3)], applied(1, 3))


def test_a_directory_is_read_in_the_order_of_numbers(tmp_path: Path) -> None:
    (tmp_path / "0002_b.sql").write_text("SELECT 2")
    (tmp_path / "0001_a.sql").write_text("SELECT 1")
    assert [file.name for file in read_migrations(tmp_path)] == ["0001_a.sql", "0002_b.sql"]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([], "holds no migrations"),
        (["1_a.sql"], "is not named like"),
        (["0001_a.sql", "0001_b.sql"], "the same number"),
    ],
)
def test_a_malformed_directory_is_refused(tmp_path: Path, names: list[str], says: str) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(MigrationError, match=says):
        read_migrations(tmp_path)


def test_an_old_postgres_is_refused_with_one_sentence() -> None:
    with pytest.raises(MigrationError, match=r"^PostgreSQL 14 or newer is needed; the server is 13\.4\.$"):
        check_server(13, "13.4")
    check_server(14, "14.0")
