"""The bench needs more descriptors than a shell allows."""

from __future__ import annotations

import subprocess
import sys


def test_the_limit_of_descriptors_is_raised_as_far_as_it_may() -> None:
    script = (
        "import resource; from bench.__main__ import allow_files; allow_files();"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    command = f'ulimit -Sn 1024; ulimit -Hn 2000; exec "{sys.executable}" -c "{script}"'
    told = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert told.stdout == "(2000, 2000)\n"
