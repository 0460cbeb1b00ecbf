"""A short form of `make fuzz`, in process."""

from __future__ import annotations

import subprocess
import sys

from deploy.local.folders import CHECKOUT

FRAMES, SEED = 20_000, 20


def test_odd_frames_and_payloads_come_to_nothing_but_what_may_be() -> None:
    # A process of its own: its memory is measured.
    ended = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.inprocess", str(FRAMES), str(SEED)],
        check=False,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "good events told" in ended.stdout
