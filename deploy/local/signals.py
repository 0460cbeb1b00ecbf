"""What a signal does depends on how far a run has come: while it starts, while it runs, while it stops."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path

from deploy.local.errors import LocalError

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Signals that ask this process to stop. At first one cancels the run's task, whose `finally` cleans up.

    `forward_to` sends them elsewhere; once a run is stopping, further ones change nothing. What cleans up in
    the midst of a run can `hold` them until `release`.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._forward: Callable[[signal.Signals], None] | None = None
        self._held: list[signal.Signals] = []
        self._task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in _STOPPING:
            loop.add_signal_handler(number, self.receive, number)

    def forward_to(self, receiver: Callable[[signal.Signals], None]) -> None:
        self._forward = receiver

    def stopping(self) -> None:
        self._forward = lambda _number: None

    def hold(self) -> None:
        self._forward = self._held.append

    def release(self) -> None:
        """Receives the first that was held."""
        self._forward = None
        if self._held:
            self.receive(self._held[0])

    def receive(self, number: signal.Signals) -> None:
        """What a signal does now."""
        if self._forward is not None:
            self._forward(number)
            return
        self.received = number
        self.stopping()
        if self._task is not None:
            self._task.cancel()


async def _watch_make(signals: Signals) -> None:
    """Takes a SIGINT sent to make alone for one of ours.

    GNU make then waits for its children, who never hear of it; it shows in that make catches SIGINT no more.
    """
    make = os.getppid()
    if not _is_make_catching_interrupts(make):
        return
    while _is_make_catching_interrupts(make):  # noqa: ASYNC110 - nothing would set an event
        await asyncio.sleep(0.2)
    signals.receive(signal.SIGINT)


def _is_make_catching_interrupts(pid: int) -> bool:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return False  # it was killed: the kernel tells us by another way
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return status["Name"] == "make" and bool(int(status["SigCgt"], 16) >> (signal.SIGINT - 1) & 1)


def run_to_exit_code(
    main: Callable[[Signals], Coroutine[None, None, int]], say: Callable[[str], None]
) -> int:
    """Runs `main`; 1 with its sentence on a LocalError, 128+n when it was stopped by signal n."""

    async def guarded() -> int:
        signals = Signals()
        watch = asyncio.create_task(_watch_make(signals))
        try:
            return await main(signals)
        except LocalError as error:
            say(str(error))
            return 1
        except asyncio.CancelledError:
            if signals.received is None:
                raise
            return 128 + signals.received
        finally:
            watch.cancel()

    return asyncio.run(guarded())
