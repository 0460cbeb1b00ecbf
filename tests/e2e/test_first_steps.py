"""docs/howto/first-steps.md does what it says: its commands are run, and print what stands under them."""

from __future__ import annotations

import json
from pathlib import Path

from deploy.local.folders import CHECKOUT
from deploy.local.system import System
from tests.support.pages import run_steps, steps

PAGE = CHECKOUT / "docs" / "howto" / "first-steps.md"


async def test_every_command_prints_what_the_page_says(system: System, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(system.describe()))
    assert len(steps(PAGE)) >= 8
    printed = await run_steps(PAGE, {"STATE_DIR": str(tmp_path), "EDGE": system.edge_url})
    assert printed == [step.printed for step in steps(PAGE)]
