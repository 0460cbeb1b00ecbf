"""The tools of the browser side are fetched with a node that can run them, or one sentence says why not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from deploy.local.folders import CHECKOUT


@pytest.mark.parametrize(
    ("version", "taken"), [("v16.20.2", False), ("v18.9.0", False), ("v18.19.0", True), ("v20.1.0", True)]
)
def test_a_node_that_is_too_old_is_refused_in_one_sentence(version: str, taken: bool, tmp_path: Path) -> None:
    for name, says in (("node", version), ("npm", "npm was run")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {says}\n")
        (tmp_path / name).chmod(0o755)
    result = subprocess.run(
        [CHECKOUT / "deploy/local/npm.sh", tmp_path],
        check=False,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert ("npm was run" in result.stderr) == taken
    assert (f"node {version} is too old: 18.19 or newer is needed." in result.stderr) != taken
    assert (result.returncode == 0) == taken
