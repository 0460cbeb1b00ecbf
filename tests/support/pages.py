"""Pages of docs/howto whose commands are run: each `sh` block, and what stands under it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deploy.local.folders import CHECKOUT

_STEP = re.compile(r"```sh\n(?P<commands>.*?)```\n(?:```text\n(?P<printed>.*?)```\n)?", re.DOTALL)
_MARK = "----- next step -----"
_LIMIT_S = 300.0


@dataclass(frozen=True)
class Step:
    """One block. `printed` is what the page says that it prints."""

    commands: str
    printed: str


def steps(page: Path) -> list[Step]:
    """The page's blocks in their order."""
    found = [match.groupdict(default="") for match in _STEP.finditer(page.read_text())]
    return [Step(each["commands"], each["printed"].rstrip("\n")) for each in found]


async def run_steps(page: Path, environment: Mapping[str, str]) -> list[str]:
    """What each block prints, all of them run in one bash. What they leave running is ended."""
    process = await asyncio.create_subprocess_exec(
        "bash",
        *("-euo", "pipefail", "-c", f"\necho '{_MARK}'\n".join(step.commands for step in steps(page))),
        cwd=CHECKOUT,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), _LIMIT_S)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, out.decode() + err.decode()
    return [part.rstrip("\n") for part in out.decode().split(f"{_MARK}\n")]
