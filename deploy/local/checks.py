"""What `make test` runs: each check with a budget, two at a time.

No check keeps two cores busy: each waits for processes that start, for what it has taken away, for its own
timeouts. They begin in the order of `CHECKS`, each lane of them on backing servers of its own (one lane when
the environment names some), and are told in that order, each as if it ran alone.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from deploy.local import packages
from deploy.local.backing import Backing, needs
from deploy.local.child import POLL_SECONDS, Child
from deploy.local.errors import together
from deploy.local.folders import CHECKOUT, open_temporary
from deploy.local.packages import Need, Say
from deploy.local.signals import Signals

Command = tuple[str, ...]

# A suite that is told to stop ends its fixtures first: a running system and its databases.
_STOP_SECONDS = 60.0
_LANES = 2


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


# The budgets end what hangs, and leave its time to a machine that is several times slower than a quiet one,
# as a shared one was for hours.
CHECKS = (
    Check("lint", 6, (_tool("ruff", "check"), _tool("ruff", "format", "--check"), _tool("lint-imports"))),
    Check("types", 15, (_tool("mypy", "."),)),
    Check(
        "contracts",
        8,
        (
            _buf("lint"),
            _buf("format", "--diff", "--exit-code", "--path", "protos/splits"),
            _buf("breaking", "--against", "protos/released.binpb"),
        ),
        prepare=_buf("--version"),
    ),
    Check("web", 20, ((str(CHECKOUT / "web/check.sh"),),)),
    _suite("unit", 15, backing=False),
    _suite("contract", 15, backing=False),
    _suite("integration", 30),
    _suite("faults", 30),
    _suite("races", 30),
    _suite("e2e", 30),
    # Only whether every message arrives: what it costs, a machine at other work cannot tell.
    Check(
        "bench",
        25,
        (_tool("python", "-m", "bench", "--short", "sends", "cores", "fanout", "handshakes", "pages"),),
    ),
    _suite("browser", 20, browser=True),
)

_CHROMIUM = Need("chromium", lambda: shutil.which("chromium") is not None, None)


class _Run:
    """One check, from before it begins until it has ended. `log`: where its output goes; None = to ours."""

    def __init__(self, check: Check, log: Path | None, say: Say) -> None:
        self.check = check
        self.passed = False
        self._log = log
        self._say = say
        self._seconds = 0.0
        self._begun, self._ended = asyncio.Event(), asyncio.Event()

    async def go(self, environment: Mapping[str, str]) -> None:
        """From the beginning to the end."""
        check = self.check
        if self._log is None:
            self._say(self._heading)
        self._begun.set()
        prepared = check.prepare is None or await _run(check.name, check.prepare, os.environ, self._log) == 0
        began = time.monotonic()
        self.passed = prepared and await passes(check, environment, self._note, log=self._log)
        self._seconds = time.monotonic() - began
        self._ended.set()

    async def tell(self, *, last: bool) -> None:
        """Its output while it comes, and how it ended. A runner's closing line stays the last one of all."""
        await self._begun.wait()
        if self._log is not None:
            self._say(self._heading)
            await self._copy(self._log)
        await self._ended.wait()
        if not self.passed:
            self._say(f"──── {self.check.name} FAILED after {self._seconds:.0f} s ────")
        elif not last:
            self._say(f"──── {self.check.name} passed in {self._seconds:.0f} s ────")

    @property
    def _heading(self) -> str:
        return f"\n──── {self.check.name} (at most {self.check.minutes:g} min) ────"

    def _note(self, text: str) -> None:
        if self._log is None:
            self._say(text)
        else:
            with self._log.open("a") as file:
                file.write(f"{text}\n")

    async def _copy(self, log: Path) -> None:
        with log.open("rb") as output:
            while True:
                ended = self._ended.is_set()
                if text := output.read():
                    sys.stdout.buffer.write(text)
                    sys.stdout.flush()
                elif ended:
                    return
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ended.wait(), POLL_SECONDS)


async def run_checks(signals: Signals, names: Sequence[str], *, say: Say) -> int:
    """Runs the named checks (none named: all) to the end; 0 when every one passed."""
    chosen = [check for check in CHECKS if not names or check.name in names]
    # All at once and first: what is missing is told now, and not after minutes of other checks.
    wanted = [_CHROMIUM] if any(check.needs_browser for check in chosen) else []
    if any(check.needs_backing for check in chosen):
        wanted += needs(os.environ)
    await packages.ensure(wanted, say=say)
    alone = any(check.needs_backing for check in chosen) and len(needs(os.environ)) < len(needs({}))
    lanes = 1 if alone else min(_LANES, len(chosen))
    async with AsyncExitStack() as cleanup:
        folder = Path(cleanup.enter_context(TemporaryDirectory(prefix="splits-checks-")))
        logs = [None if lanes == 1 else folder / check.name for check in chosen]
        runs = [_Run(check, log, say) for check, log in zip(chosen, logs, strict=True)]
        for log in filter(None, logs):
            log.touch()
        backings: list[asyncio.Task[dict[str, str]] | None] = [
            _start_backing(cleanup, say) if any(check.needs_backing for check in chosen) else None
            for _ in range(lanes)
        ]
        cleanup.callback(signals.stopping)  # the first thing done at the end: no signal cuts the rest short
        waiting = deque(runs)

        async def lane(backing: asyncio.Task[dict[str, str]] | None) -> None:
            while waiting:
                run = waiting.popleft()
                named = await backing if backing is not None and run.check.needs_backing else {}
                await run.go({**os.environ, **named})

        async def tell() -> None:
            for run in runs:
                await run.tell(last=run is runs[-1])

        await together(*map(lane, backings), tell())
    failed = [run.check.name for run in runs if not run.passed]
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


async def passes(check: Check, environment: Mapping[str, str], say: Say, *, log: Path | None = None) -> bool:
    """Runs every command of `check` in turn, whether or not one fails; says so when they take too long."""
    try:
        async with asyncio.timeout(check.minutes * 60):
            codes = [await _run(check.name, command, environment, log) for command in check.commands]
    except TimeoutError:
        say(f"{check.name} took more than its budget of {check.minutes:g} min and was ended.")
        return False
    return not any(codes)


async def _run(name: str, command: Command, environment: Mapping[str, str], log: Path | None) -> int:
    child = Child.spawn(name, command, log=log, env=environment, cwd=CHECKOUT)
    try:
        return await child.wait()
    finally:
        await child.stop(_STOP_SECONDS)
