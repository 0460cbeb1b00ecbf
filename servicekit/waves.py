"""What comes over several turns of the event loop, and is better done together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_WAVE_S = 0.002
"""Who goes on coming, turn by turn, holds the first up no longer: what is spared by it is less."""


class Wave:
    """Lets what has come leave with the first turn of the event loop that brings no more of it.

    What was answered together comes back over several turns: a loop reads what is there, and the rest comes
    while it does. So what gathers in one turn only goes in parts. Nothing waits for anything but a turn: what
    comes alone leaves one turn later, and a wave that does not end leaves after 2 ms.

    `waiting`: how much has come; `leave`: takes it; `most`: with so many there is nothing to wait for. Only
    within a running loop.
    """

    __slots__ = ("_leave", "_leave_at", "_loop", "_most", "_scheduled", "_seen", "_waiting")

    def __init__(self, waiting: Callable[[], int], leave: Callable[[], None], *, most: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting = waiting
        self._leave = leave
        self._most = most
        self._scheduled = False
        self._seen = 0
        """How many waited when the loop's last turn ended."""
        self._leave_at = 0.0

    def come(self) -> None:
        """To be called with each that comes."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._at_turns_end)

    def _at_turns_end(self) -> None:
        if self._more_may_come():
            self._loop.call_soon(self._at_turns_end)
            return
        self._scheduled = False
        self._seen = 0
        self._leave()

    def _more_may_come(self) -> bool:
        seen, waiting = self._seen, self._waiting()
        if not seen < waiting < self._most:
            return False
        self._seen = waiting
        now = self._loop.time()
        if seen == 0:
            self._leave_at = now + _WAVE_S
        return now < self._leave_at
