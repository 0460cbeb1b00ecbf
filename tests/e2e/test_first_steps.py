"""docs/howto/first-steps.md does what it says: its commands are run, and print what stands under them."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path

from deploy.local.folders import CHECKOUT
from deploy.local.system import System

PAGE = CHECKOUT / "docs" / "howto" / "first-steps.md"
STEP = re.compile(r"```sh\n(?P<commands>.*?)```\n(?:```text\n(?P<printed>.*?)```\n)?", re.DOTALL)
LIMIT_S = 300.0


async def test_every_command_prints_what_the_page_says(system: System, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(system.describe()))
    steps = [match.groupdict(default="") for match in STEP.finditer(PAGE.read_text())]
    assert len(steps) >= 8
    mark = "----- next step -----"
    process = await asyncio.create_subprocess_exec(
        "bash",
        *("-euo", "pipefail", "-c", f"\necho '{mark}'\n".join(step["commands"] for step in steps)),
        cwd=CHECKOUT,
        env={**os.environ, "STATE_DIR": str(tmp_path), "EDGE": system.edge_url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
    assert process.returncode == 0, err.decode()
    printed = out.decode().split(f"{mark}\n")
    assert [part.rstrip("\n") for part in printed] == [step["printed"].rstrip("\n") for step in steps]
