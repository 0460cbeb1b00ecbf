"""A load program's two ends: its configuration from stdin, signals and its result through stdout."""

from __future__ import annotations

import json
import os
import resource
import select
from typing import Any

from bench.load.poll import Poll

_LOOK_S = 0.05


class Lines:
    """Lines from a descriptor; whether one has come can be asked, which a text stream does not tell."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = b""

    def next(self) -> bytes:
        """Waits for the next; what is left, without its end, when there comes no more."""
        while b"\n" not in self._buffer:
            data = os.read(self._descriptor, 1024 * 1024)
            if not data:
                break
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def waiting(self) -> bool:
        """Whether `next` would give one, or begin to read one, at once."""
        return b"\n" in self._buffer or bool(select.select([self._descriptor], [], [], 0)[0])


_STDIN = Lines(0)


def configuration() -> Any:
    """The next line that the bench writes; None when there comes no more."""
    line = _STDIN.next()
    return json.loads(line) if line.strip() else None


def next_turn(poll: Poll) -> Any:
    """The same, and until it comes what comes to the connections is handled, pings among it."""
    while not _STDIN.waiting():
        poll.turn(_LOOK_S)
    return configuration()


def say(event: str, **facts: object) -> None:
    """A line that the bench waits for."""
    print(json.dumps({"event": event, **facts}), flush=True)


def wait() -> None:
    """Until the bench says go on."""
    _STDIN.next()


def cpu_s() -> float:
    """Seconds of CPU that this program has used."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
