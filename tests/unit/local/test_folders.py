"""A folder in use is refused, one whose owner died is cleared, and Postgres can reach its data."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.local.errors import LocalError
from deploy.local.folders import make_secret, open_state, open_temporary


@pytest.fixture
def reachable(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder that any user may enter, and where temporary folders are made."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        path = Path(name)
        path.chmod(0o755)
        monkeypatch.setenv("TMPDIR", name)
        monkeypatch.setattr(tempfile, "tempdir", None)  # forget the cached choice
        yield path
    monkeypatch.setattr(tempfile, "tempdir", None)


def test_a_state_folder_in_use_is_refused_in_one_sentence(tmp_path: Path) -> None:
    folder = open_state(tmp_path / "state")
    with pytest.raises(LocalError, match="is in use by another run"):
        open_state(tmp_path / "state")
    folder.close()
    open_state(tmp_path / "state").close()


def test_a_state_folder_that_cannot_be_made_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LocalError, match=r"cannot be used \(Not a directory\): set STATE_DIR"):
        open_state(tmp_path / "file" / "state")


def test_a_secret_whose_making_was_cut_off_is_made_anew(tmp_path: Path) -> None:
    folder = open_state(tmp_path / "state")
    (folder.path / "word.new").touch(mode=0o600)
    secret = make_secret(folder, "word")
    assert len(secret) >= 32
    assert make_secret(folder, "word") == secret
    assert (folder.path / "word").stat().st_mode & 0o777 == 0o600
    folder.close()


def test_a_state_folder_is_removed_although_an_earlier_removal_was_cut_off(tmp_path: Path) -> None:
    (tmp_path / "gone-state" / "data").mkdir(parents=True)
    open_state(tmp_path / "state").remove()
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_folder_disappears_when_closed(reachable: Path) -> None:
    folder = open_temporary()
    (folder.path / "file").touch()
    assert folder.path.parent == reachable
    folder.close()
    assert list(reachable.iterdir()) == []


def test_a_temporary_folder_whose_owner_was_killed_is_cleared_by_the_next_start(reachable: Path) -> None:
    script = "import deploy.local.folders as f, os; f.open_temporary(); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script], check=False)
    (left,) = reachable.iterdir()
    living = open_temporary()
    another = open_temporary()
    assert not left.exists()
    assert living.path.exists()
    living.close()
    another.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only as root do servers run as another user")
def test_as_root_the_data_of_a_closed_state_folder_lies_where_postgres_can_reach_it(reachable: Path) -> None:
    closed = reachable / "closed"
    closed.mkdir(mode=0o700)
    folder = open_state(closed / "state")
    home = folder.data_home()
    assert home.is_relative_to("/var/lib")
    assert folder.data_home() == home
    folder.close()
    again = open_state(closed / "state")
    assert again.data_home() == home
    again.remove()
    assert not home.exists()
    assert not (closed / "state").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only as root do servers run as another user")
def test_data_whose_state_folder_is_gone_is_removed_by_the_next_start(reachable: Path) -> None:
    closed = reachable / "closed"
    closed.mkdir(mode=0o700)
    folder = open_state(closed / "one")
    home = folder.data_home()
    folder.close()
    (closed / "one" / "data-id").unlink()
    open_state(closed / "two").close()
    assert not home.exists()


def test_the_data_of_an_open_state_folder_lies_in_it(reachable: Path) -> None:
    folder = open_state(reachable / "state")
    assert folder.data_home() == folder.path
    folder.close()


def test_runs_that_start_while_others_end_do_not_remove_each_others_folders() -> None:
    def come_and_go(_: int) -> list[Path]:
        folders = []
        for _ in range(30):
            folder = open_temporary()
            (folder.path / "data").mkdir()
            for number in range(20):
                (folder.path / "data" / str(number)).touch()
            assert (folder.path / "data" / "19").exists()
            folder.close()
            folders.append(folder.path)
        return folders

    with ThreadPoolExecutor(4) as pool:
        folders = [path for paths in pool.map(come_and_go, range(4)) for path in paths]

    assert len(set(folders)) == 120
    assert not [path for path in folders if path.exists()]
