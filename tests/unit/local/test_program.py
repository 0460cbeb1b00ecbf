"""A program is ready when the process that runs now says so, not when an earlier one did."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from deploy.local.errors import LocalError
from deploy.local.folders import Folder, open_state
from deploy.local.program import Program

SAYS_IT_WHEN_LET = """
import time
from pathlib import Path
while not Path("go").exists():
    time.sleep(0.01)
print("consuming", flush=True)
time.sleep(600)
"""


def program(folder: Folder, tmp_path: Path) -> Program:
    (tmp_path / "worker_of_test.py").write_text(SAYS_IT_WHEN_LET)
    return Program(
        "worker", ("worker_of_test",), environment={}, folder=folder, ready_word="consuming", cwd=tmp_path
    )


async def test_one_that_is_started_again_is_not_ready_by_what_it_said_before(tmp_path: Path) -> None:
    with contextlib.closing(open_state(tmp_path / "state")) as folder:
        worker = program(folder, tmp_path)
        (tmp_path / "go").touch()
        worker.spawn()
        await worker.wait_ready()
        await worker.running.stop()
        (tmp_path / "go").unlink()
        worker.spawn()
        try:
            with pytest.raises(LocalError, match="was not ready"):
                await worker.wait_ready(seconds=0.5)
            (tmp_path / "go").touch()
            await worker.wait_ready()
        finally:
            await worker.running.stop()


async def test_nothing_is_started_any_more_in_a_folder_whose_processes_are_being_stopped(
    tmp_path: Path,
) -> None:
    with contextlib.closing(open_state(tmp_path / "state")) as folder:
        folder.ledger.closed = True
        with pytest.raises(LocalError, match="worker was not started"):
            program(folder, tmp_path).spawn()
    assert not (tmp_path / "state" / "log" / "worker.log").exists()
