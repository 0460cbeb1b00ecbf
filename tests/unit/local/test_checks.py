"""A check fails by its commands or by its budget, and says which."""

from __future__ import annotations

import os
import time

from deploy.local.checks import CHECKS, Check, passes


async def test_a_check_passes_when_all_its_commands_do() -> None:
    assert await passes(Check("fine", 1, (("true",), ("true",))), os.environ, print)


async def test_a_check_fails_with_any_command_and_runs_the_others() -> None:
    said: list[str] = []
    assert not await passes(Check("half", 1, (("false",), ("true",))), os.environ, said.append)
    assert said == []


async def test_a_check_over_its_budget_is_ended_and_named() -> None:
    said: list[str] = []
    began = time.monotonic()
    assert not await passes(Check("endless", 0.01, (("sleep", "600"),)), os.environ, said.append)
    assert time.monotonic() - began < 60
    assert said == ["endless took more than its budget of 0.01 min and was ended."]


def test_every_part_has_a_budget_that_ends_a_hang_and_leaves_a_slow_machine_its_time() -> None:
    # The whole is promised in 25 minutes on two quiet cores; a budget is there for what hangs.
    assert all(1 <= check.minutes <= 30 for check in CHECKS)
