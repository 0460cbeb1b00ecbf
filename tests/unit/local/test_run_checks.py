"""`make test` ends in order: what it started is gone, whatever comes meanwhile, and a failure is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from deploy.local.folders import CHECKOUT

HEAD = """
import asyncio, os, signal, sys
from deploy.local import checks
from deploy.local.backing import Backing
from deploy.local.checks import Check
from deploy.local.signals import run_to_exit_code
"""
RUN = """
sys.exit(run_to_exit_code(lambda signals: checks.run_checks(signals, [], say=print), print))
"""
NAMED = dict.fromkeys(("DATABASE_URL", "REDIS_URL", "AMQP_URL"), "named://")


def run(body: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Runs checks of the test's own, on servers that the environment names."""
    environment = {**os.environ, **NAMED, "TMPDIR": str(tmp_path)}
    return subprocess.run(
        [sys.executable, "-c", HEAD + body + RUN],
        check=False,
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
    )


def test_a_signal_that_comes_while_all_is_being_stopped_cuts_nothing_short(tmp_path: Path) -> None:
    ended = run(
        """
checks.CHECKS = (Check("only", 1, (("true",),), needs_backing=True),)
stop = Backing.stop

async def interrupted(backing):
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.sleep(0.2)
    await stop(backing)
    print("stopped")

Backing.stop = interrupted
""",
        tmp_path,
    )
    assert "stopped" in ended.stdout, ended.stderr
    assert ended.returncode == 0


def test_a_check_that_cannot_be_prepared_fails_without_its_commands(tmp_path: Path) -> None:
    ended = run(
        """
checks.CHECKS = (Check("unprepared", 1, (("echo", "ran all the same"),), prepare=("false",)),)
""",
        tmp_path,
    )
    assert "unprepared FAILED" in ended.stdout, ended.stderr
    assert "ran all the same" not in ended.stdout
    assert ended.returncode == 1


def test_two_checks_run_at_a_time_and_are_told_one_after_the_other(tmp_path: Path) -> None:
    ended = run(
        """
def waits(name, mine, other):  # ends only once the other has begun
    until = f"touch {mine}; while ! [ -e {other} ]; do sleep 0.05; done"
    return Check(name, 1, (("sh", "-c", f"{until}; echo {name}"),))

checks.CHECKS = (
    waits("first", os.environ["TMPDIR"] + "/1", os.environ["TMPDIR"] + "/2"),
    waits("second", os.environ["TMPDIR"] + "/2", os.environ["TMPDIR"] + "/1"),
    Check("third", 1, (("sh", "-c", "echo third; exit 1"),)),
    Check("fourth", 1, (("echo", "fourth"),)),
)
""",
        tmp_path,
    )
    told = [line for line in ended.stdout.splitlines() if line]
    assert [line.partition(" after ")[0].partition(" in ")[0] for line in told] == [
        "──── first (at most 1 min) ────",
        "first",
        "──── first passed",
        "──── second (at most 1 min) ────",
        "second",
        "──── second passed",
        "──── third (at most 1 min) ────",
        "third",
        "──── third FAILED",
        "──── fourth (at most 1 min) ────",
        "fourth",
        "Failed: third.",
    ]
    assert ended.returncode == 1
