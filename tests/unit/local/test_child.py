"""Children are told apart for good, stopped whole, and do not outlive their start."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.child import Child, Ledger
from tests.support.processes import none_left, processes_with


async def test_the_exit_code_of_a_child_is_its_own(tmp_path: Path) -> None:
    child = Child.spawn("seven", ["sh", "-c", "exit 7"], log=tmp_path / "log")
    assert await child.wait() == 7
    assert await child.stop() == 7


async def test_a_child_ended_by_a_signal_has_its_negative_number(tmp_path: Path) -> None:
    child = Child.spawn("sleeper", ["sleep", "600"], log=tmp_path / "log")
    assert await child.stop() == -signal.SIGTERM
    assert child.exit_code() == -signal.SIGTERM


async def test_a_child_that_ignores_its_signal_is_killed_when_patience_ends(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = Child.spawn("deaf", ["sh", "-c", 'trap "" TERM; echo deaf; while :; do sleep 1; done'], log=log)
    while "deaf" not in child.tail():
        assert child.exit_code() is None
    assert await child.stop(patience=0.2) == -signal.SIGKILL


async def test_what_a_child_left_in_its_group_ends_with_it(tmp_path: Path) -> None:
    word = f"CHILD_TEST={tmp_path}"
    child = Child.spawn(
        "parent", ["sh", "-c", "sleep 600 & exit 0"], log=tmp_path / "log", env={"CHILD_TEST": str(tmp_path)}
    )
    assert await child.wait() == 0
    await child.stop()
    assert await none_left(word) == []


async def test_the_end_of_a_childs_log_can_be_told(tmp_path: Path) -> None:
    child = Child.spawn("talker", ["sh", "-c", "seq 100; echo last >&2"], log=tmp_path / "log")
    await child.wait()
    assert child.tail(2) == "100\nlast"
    await child.stop()


async def test_children_end_when_their_starter_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from deploy.local.child import Child\n"
        "Child.spawn('orphan', ['sleep', '600'], log=Path(sys.argv[1]))\n"
        "print('up', flush=True); time.sleep(600)"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", script, tmp_path / "log"],
        stdout=subprocess.PIPE,
        env={"CHILD_TEST": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    with starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"up\n"
        starter.kill()
    assert await none_left(f"CHILD_TEST={tmp_path}") == []


async def test_a_later_start_ends_recorded_processes_that_still_run(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "pids")
    child = Child.spawn("left over", ["sleep", "600"], log=tmp_path / "log", ledger=ledger)
    # Without anyone who reaps it the process would stay as a zombie; zombies count as ended.
    assert ledger.end_leftovers() == ["left over"]
    assert child.kill() == -signal.SIGTERM
    assert Ledger(tmp_path / "pids").end_leftovers() == []


async def test_a_recorded_number_that_names_another_process_now_is_left_alone(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "pids")
    child = Child.spawn("innocent", ["sleep", "600"], log=tmp_path / "log", ledger=ledger)
    entry = json.loads((tmp_path / "pids").read_text())
    (tmp_path / "pids").write_text(json.dumps({**entry, "born": "1"}) + "\n")
    assert ledger.end_leftovers() == []
    assert child.exit_code() is None
    await child.stop()


async def test_a_line_cut_off_by_a_crash_does_not_hinder_a_later_start(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "pids")
    child = Child.spawn("left over", ["sleep", "600"], log=tmp_path / "log", ledger=ledger)
    whole = (tmp_path / "pids").read_text()
    (tmp_path / "pids").write_text(whole + whole[:20])
    assert Ledger(tmp_path / "pids").end_leftovers() == ["left over"]
    child.kill()


@pytest.mark.parametrize("program", ["no-such-program-anywhere"])
async def test_a_program_that_does_not_exist_says_so_in_the_log(tmp_path: Path, program: str) -> None:
    child = Child.spawn("absent", [program], log=tmp_path / "log")
    assert await child.wait() != 0
    assert program in child.tail()
    await child.stop()


async def test_what_a_child_started_elsewhere_ends_with_it_too(tmp_path: Path) -> None:
    """As with Erlang's helpers, and with what never notices that its parent is gone."""
    child = Child.spawn(
        "parent",
        ["sh", "-c", "setsid sleep 600 & echo up; wait"],
        log=tmp_path / "log",
        env={"CHILD_TEST": str(tmp_path), "PATH": os.environ["PATH"]},
    )
    async with asyncio.timeout(60):
        while "up" not in child.tail() or len(processes_with(f"CHILD_TEST={tmp_path}")) < 2:
            await asyncio.sleep(0.01)
    await child.stop()
    assert processes_with(f"CHILD_TEST={tmp_path}") == []
