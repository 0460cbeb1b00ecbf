"""Times of many sockets in one timer of the event loop: kept a little late, for hardly any memory.

A timer of its own costs a socket some 500 bytes and keeps the context of its handshake alive.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import Protocol


class Timed(Protocol):
    """Whom a wheel calls."""

    def on_time(self) -> None:
        """The time has come. Called from the event loop; must not block."""


class Wheel:
    """Calls at a time, or up to two ticks later. `tick_s`: seconds."""

    def __init__(self, tick_s: float) -> None:
        self._tick_s = tick_s
        self._slots: dict[int, set[Timed]] = {}
        self._turned = 0
        """The last slot whose time has come."""
        self._timer: asyncio.TimerHandle | None = None

    def add(self, delay_s: float, timed: Timed) -> int:
        """Calls `timed` after so many seconds; the slot it is in, to `remove` it."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._timer is None:
            self._turned = int(now / self._tick_s)
            self._wait(loop)
        slot = max(int((now + delay_s) / self._tick_s), self._turned) + 1
        self._slots.setdefault(slot, set()).add(timed)
        return slot

    def remove(self, slot: int, timed: Timed) -> None:
        """Does not call it. Repeatable, also when it was called."""
        waiting = self._slots.get(slot)
        if waiting is not None:
            waiting.discard(timed)
            if not waiting:
                del self._slots[slot]

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        # Not in the context of whoever came first: it would go on for ever.
        self._timer = loop.call_later(self._tick_s, self._turn, loop, context=Context())

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        # First: so it turns on whatever happens here, and `add` does not take it for one that rested.
        self._wait(loop)
        reached = int(loop.time() / self._tick_s)
        due = [slot for slot in range(self._turned + 1, reached + 1) if slot in self._slots]
        self._turned = reached
        for slot in due:
            for timed in tuple(self._slots.get(slot, ())):
                self._call(loop, timed)
            self._slots.pop(slot, None)
        if not self._slots and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _call(self, loop: asyncio.AbstractEventLoop, timed: Timed) -> None:
        try:
            timed.on_time()
        except Exception as error:  # noqa: BLE001 - one's fault is not to be that of all in the slot
            loop.call_exception_handler({"message": "A timed call failed.", "exception": error})
