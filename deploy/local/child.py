"""One server process that belongs to this one: started, watched and stopped by its pid."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deploy.local.errors import LocalError

POLL_SECONDS = 0.05


class Child:
    """A process in a session of its own, so that a terminal's Ctrl-C reaches it only through us.

    It is told to stop (`stop_signal`) by the kernel when this process dies, even by SIGKILL. That is bound to
    the *thread* that starts it: start children from the main thread only.
    """

    def __init__(
        self,
        name: str,
        process: subprocess.Popen[bytes],
        log: Path | None,
        stop_signal: signal.Signals,
        log_began: int = 0,
    ):
        self.name = name
        self.log = log
        self.started_at = time.monotonic()
        self._log_began = log_began
        self.stop_signal = stop_signal
        self._process = process
        self._reaped: int | None = None

    @classmethod
    def spawn(
        cls,
        name: str,
        argv: Sequence[str | Path],
        *,
        log: Path | None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        core: int | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        ledger: Ledger | None = None,
    ) -> Child:
        """Starts `argv`, its output appended to `log` (None: ours).

        If given: as `user` (needs root), on that `core` only, with all that it starts.
        """
        if ledger is not None and ledger.closed:
            raise LocalError(f"{name} was not started: what it belongs to is being stopped.")
        wrapper = ["setpriv"]
        if user is not None:
            wrapper += [f"--reuid={user}", f"--regid={user}", "--init-groups"]
        wrapper += ["--pdeathsig", stop_signal.name.removeprefix("SIG"), "--"]
        if core is not None:
            wrapper += ["taskset", "--cpu-list", str(core)]
        # We may have died before the kernel was told: then there is another parent already.
        wrapper += ["sh", "-c", '[ "$PPID" = "$0" ] && exec "$@"', str(os.getpid())]
        log_began = log.stat().st_size if log is not None and log.exists() else 0
        with contextlib.nullcontext() if log is None else log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own arguments
                [*wrapper, *map(str, argv)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=None if log is None else subprocess.STDOUT,
                env=None if env is None else dict(env),
                cwd=cwd,
                start_new_session=True,
            )
        child = cls(name, process, log, stop_signal, log_began)
        if ledger is not None:
            ledger.add(child)
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        """The exit code (negative: killed by that signal), or None while it runs.

        The process is left unreaped until `stop`, so that its pid and group cannot become another's.
        """
        if self._reaped is not None:
            return self._reaped
        state = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if state is None:
            return None
        return state.si_status if state.si_code == os.CLD_EXITED else -state.si_status

    def send(self, number: signal.Signals) -> None:
        """Signals the process itself; nothing happens when it has ended."""
        if self.exit_code() is None:
            os.kill(self.pid, number)

    def send_group(self, number: signal.Signals) -> None:
        """Signals the process and what it started in its session's first group."""
        if self._reaped is None:
            os.killpg(self.pid, number)

    async def wait(self) -> int:
        """Waits for the end; returns the exit code."""
        while (code := self.exit_code()) is None:  # noqa: ASYNC110 - nothing would set an event
            await asyncio.sleep(POLL_SECONDS)
        return code

    async def stop(self, patience: float = 20.0) -> int:
        """Ends it by its own signal, after `patience` seconds by SIGKILL, and all that it has started."""
        if self._reaped is None:
            offspring = _descendants(self.pid)
            self.send(self.stop_signal)
            limit = time.monotonic() + patience
            while self.exit_code() is None and time.monotonic() < limit:
                await asyncio.sleep(POLL_SECONDS)
                offspring |= _descendants(self.pid)  # some start helpers for their very end
            self.kill()
            await _see_off(offspring)
        return self.kill()

    def kill(self) -> int:
        """Ends the process and its group at once (SIGKILL) and reaps it; returns its exit code."""
        if self._reaped is None:
            os.killpg(self.pid, signal.SIGKILL)  # an unreaped leader keeps the group's number ours
            self._reaped = self._process.wait()
        return self._reaped

    def crash(self) -> None:
        """Ends the process and all that it has started by SIGKILL, whatever session each of those is in."""
        if self._reaped is not None:
            return
        self.send(signal.SIGSTOP)  # so that it starts nothing while we look
        offspring = _descendants(self.pid)
        self.kill()
        for pid, born in offspring.items():
            while _born(pid) == born:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.001)

    def output(self) -> str:
        """What its log holds since it was started; what an earlier process wrote there is left out."""
        if self.log is None or not self.log.exists():
            return ""
        return self.log.read_bytes()[self._log_began :].decode(errors="replace")

    def tail(self, lines: int = 15) -> str:
        """The last lines of its output."""
        return "\n".join(self.output().splitlines()[-lines:])


@dataclass(frozen=True)
class _Entry:
    name: str
    pid: int
    born: str
    stop_signal: int


class Ledger:
    """The pids of the children of one folder, on disk: what a start after a crash must end first."""

    def __init__(self, path: Path):
        self._path = path
        self.closed = False
        """Set by whoever stops the children: none may begin behind its back, in a start still under way."""

    def add(self, child: Child) -> None:
        born = _born(child.pid)
        if born is None:
            return
        entry = _Entry(child.name, child.pid, born, int(child.stop_signal))
        with self._path.open("a") as file:
            file.write(json.dumps(asdict(entry)) + "\n")

    def end_leftovers(self, patience: float = 20.0) -> list[str]:
        """Ends recorded processes that still run; returns their names. The caller holds the folder's lock."""
        if not self._path.exists():
            return []
        entries = [_Entry(**entry) for entry in _whole(self._path.read_text().splitlines())]
        left = [entry for entry in entries if _born(entry.pid) == entry.born]
        for entry in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(entry.pid, entry.stop_signal)
        limit = time.monotonic() + patience
        for entry in left:
            while _born(entry.pid) == entry.born:
                if time.monotonic() >= limit:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(entry.pid, signal.SIGKILL)
                time.sleep(POLL_SECONDS)
        self._path.unlink()
        return [entry.name for entry in left]


def _whole(lines: list[str]) -> Iterator[dict[str, Any]]:
    """The entries, without a line that was cut off: its writer was killed, or the machine lost power."""
    for line in lines:
        with contextlib.suppress(json.JSONDecodeError):
            yield json.loads(line)


async def _see_off(offspring: Mapping[int, str], patience: float = 5.0) -> None:
    """Waits for processes that end once their parent has; ends those that do not.

    Erlang's helpers are such: they live in sessions of their own and notice a moment later.
    """
    limit = time.monotonic() + patience
    for pid, born in offspring.items():
        while _born(pid) == born:
            if time.monotonic() >= limit:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(POLL_SECONDS)


def _descendants(pid: int) -> dict[int, str]:
    """The processes below `pid` and when each was born."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        # Gone meanwhile, or another user's on a system that hides those (hidepid).
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(folder.name))
    found: dict[int, str] = {}
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), []):
            born = _born(child)
            if born is not None:
                found[child] = born
                waiting.append(child)
    return found


def _born(pid: int) -> str | None:
    """When the process started, in clock ticks since boot: with the pid it names one process for good."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]
