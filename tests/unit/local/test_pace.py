"""Which Python the local system takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import pace


@pytest.mark.parametrize(
    ("found", "chosen"),
    [
        ([(9.0, "python3")], "python3"),
        ([(9.0, "python3"), (7.0, "other")], "python3"),
        ([(9.0, "python3"), (6.0, "other")], "other"),
        ([(9.0, "python3"), (6.0, "other"), (5.0, "third")], "other"),
        ([(9.0, "python3"), (6.0, "other"), (4.0, "third")], "third"),
    ],
)
def test_another_than_the_first_is_taken_only_if_it_is_much_faster(
    found: list[tuple[float, str]], chosen: str
) -> None:
    assert pace.choose(found) == chosen


def test_what_does_not_run_is_passed_over(tmp_path: Path) -> None:
    broken = tmp_path / "python3"
    broken.write_text("#!/bin/sh\necho 0.01 /nowhere; exit 127\n")
    broken.chmod(0o755)
    told = subprocess.run(
        [sys.executable, pace.__file__, str(broken), sys.executable],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == sys.executable
