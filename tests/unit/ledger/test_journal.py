"""A journal survives the end of who writes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.ledger.journal import Follower, Journal


def test_what_was_noted_is_read_in_order_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    follower = Follower(path)
    assert follower.look() == []
    journal = Journal(path)
    journal.note("ready")
    assert [entry["kind"] for entry in follower.look()] == ["ready"]
    journal.note("quiet")
    assert [entry["kind"] for entry in follower.look()] == ["ready", "quiet"]
    assert follower.count("quiet") == 1


def test_a_line_that_is_not_whole_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    Journal(path).note("ready")
    with path.open("ab") as file:
        file.write(b'{"kind": "qui')
    follower = Follower(path)
    assert [entry["kind"] for entry in follower.look()] == ["ready"]
    with path.open("ab") as file:
        file.write(b'et"}\n')
    assert [entry["kind"] for entry in follower.look()] == ["ready", "quiet"]


def test_a_writer_that_is_killed_leaves_all_it_noted(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    script = (
        "import os, pathlib, signal, sys\n"
        "from tests.ledger.journal import Journal\n"
        "journal = Journal(pathlib.Path(sys.argv[1]))\n"
        "for number in range(100): journal.note('attempt', action=number)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(path)], check=False, cwd=Path(__file__).parents[3]
    )
    assert ended.returncode == -9
    assert [entry["action"] for entry in Follower(path).look()] == list(range(100))
