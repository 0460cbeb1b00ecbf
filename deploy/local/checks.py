"""What `make test` runs, in this order: each check with a budget, all on one set of backing servers."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from deploy.local import packages
from deploy.local.backing import Backing, needs
from deploy.local.child import Child
from deploy.local.folders import CHECKOUT, open_temporary
from deploy.local.packages import Need, Say
from deploy.local.signals import Signals

Command = tuple[str, ...]

# A suite that is told to stop ends its fixtures first: a running system and its databases.
_STOP_SECONDS = 60.0


@dataclass(frozen=True)
class Check:
    """One part of `make test`. It fails when a command does, or when all take longer than `minutes`."""

    name: str
    minutes: float
    commands: tuple[Command, ...]
    prepare: Command | None = None
    """Fetches what the commands need, before the budget begins; run again it does nothing."""
    needs_backing: bool = False
    needs_browser: bool = False


def _tool(name: str, *arguments: str) -> Command:
    return (str(Path(sys.executable).parent / name), *arguments)


def _buf(*arguments: str) -> Command:
    return (str(CHECKOUT / "deploy/local/buf/buf.sh"), *arguments)


def _suite(name: str, minutes: float, *, backing: bool = True, browser: bool = False) -> Check:
    command = _tool("python", "-m", "pytest", f"tests/{name}")
    return Check(name, minutes, (command,), needs_backing=backing, needs_browser=browser)


CHECKS = (
    Check("lint", 3, (_tool("ruff", "check"), _tool("ruff", "format", "--check"), _tool("lint-imports"))),
    Check("types", 6, (_tool("mypy", "."),)),
    Check(
        "contracts",
        4,
        (
            _buf("lint"),
            _buf("format", "--diff", "--exit-code", "--path", "protos/splits"),
            _buf("breaking", "--against", "protos/released.binpb"),
        ),
        prepare=_buf("--version"),
    ),
    Check("web", 8, ((str(CHECKOUT / "web/check.sh"),),)),
    _suite("unit", 6, backing=False),
    _suite("contract", 6, backing=False),
    _suite("integration", 12),
    _suite("races", 15),
    _suite("faults", 15),
    # Only whether every message arrives: what it costs, a machine at other work cannot tell.
    Check(
        "bench", 10, (_tool("python", "-m", "bench", "--short", "sends", "fanout", "handshakes", "pages"),)
    ),
    _suite("e2e", 12),
    _suite("browser", 8, browser=True),
)

_CHROMIUM = Need("chromium", lambda: shutil.which("chromium") is not None, None)


async def run_checks(signals: Signals, names: Sequence[str], *, say: Say) -> int:
    """Runs the named checks (none named: all) to the end; 0 when every one passed."""
    chosen = [check for check in CHECKS if not names or check.name in names]
    # All at once and first: what is missing is told now, and not after minutes of other checks.
    wanted = [_CHROMIUM] if any(check.needs_browser for check in chosen) else []
    if any(check.needs_backing for check in chosen):
        wanted += needs(os.environ)
    await packages.ensure(wanted, say=say)
    failed: list[str] = []
    async with AsyncExitStack() as cleanup:
        backing: asyncio.Task[dict[str, str]] | None = None
        if any(check.needs_backing for check in chosen):
            backing = _start_backing(cleanup, say)
        cleanup.callback(signals.stopping)  # the first thing done at the end: no signal cuts the rest short
        for check in chosen:
            say(f"\n──── {check.name} (at most {check.minutes:g} min) ────")
            named = await backing if backing is not None and check.needs_backing else {}
            prepared = check.prepare is None or await _run(check.name, check.prepare, os.environ) == 0
            began = time.monotonic()
            if not prepared or not await passes(check, {**os.environ, **named}, say):
                failed.append(check.name)
                say(f"──── {check.name} FAILED after {time.monotonic() - began:.0f} s ────")
            elif check is not chosen[-1]:  # a test runner's closing line stays the last one
                say(f"──── {check.name} passed in {time.monotonic() - began:.0f} s ────")
    if failed:
        say(f"Failed: {', '.join(failed)}.")
    return 1 if failed else 0


def _start_backing(cleanup: AsyncExitStack, say: Say) -> asyncio.Task[dict[str, str]]:
    """Begins to start the servers, beside the checks that need none."""
    folder = open_temporary()
    cleanup.callback(folder.close)
    backing = Backing(folder, say=say)
    cleanup.push_async_callback(backing.stop)
    task = asyncio.create_task(backing.start())

    async def end_start() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    cleanup.push_async_callback(end_start)
    return task


async def passes(check: Check, environment: Mapping[str, str], say: Say) -> bool:
    """Runs every command of `check` in turn, whether or not one fails; says so when they take too long."""
    try:
        async with asyncio.timeout(check.minutes * 60):
            codes = [await _run(check.name, command, environment) for command in check.commands]
    except TimeoutError:
        say(f"{check.name} took more than its budget of {check.minutes:g} min and was ended.")
        return False
    return not any(codes)


async def _run(name: str, command: Command, environment: Mapping[str, str]) -> int:
    child = Child.spawn(name, command, log=None, env=environment, cwd=CHECKOUT)
    try:
        return await child.wait()
    finally:
        await child.stop(_STOP_SECONDS)
