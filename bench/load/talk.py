"""A turn of pairs who talk, whatever the protocol: the next message once the previous one has arrived."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from bench.load.poll import Poll
from bench.load.program import cpu_s, say, wait
from bench.percentiles import percentile, steady, window_p99s

_LAST_S = 10.0
_WINDOW = 100
"""Messages of one pair: half a second or less."""


class Pair(Protocol):
    """Somebody who writes and somebody who reads. Times are in seconds."""

    stopped: bool
    count: int
    """Messages sent."""

    @property
    def busy(self) -> bool:
        """A message is on its way."""
        ...

    def begin(self) -> None:
        """Sends the first message; each that has arrived sends the next, until it is `stopped`."""

    def forget(self) -> None:
        """Begins its figures anew."""

    def found(self) -> Mapping[str, Sequence[float]]:
        """Times since `forget` by name, `deliver` among them: from sending a message to its arrival."""
        ...


def play(poll: Poll, pairs: Sequence[Pair], turn: Mapping[str, float]) -> None:
    """One turn of `warm_s`, then `measure_s` (see `bench.turn`); tells what it found."""
    for pair in pairs:
        pair.begin()
    poll.run_until(lambda: False, time.monotonic() + turn["warm_s"])
    say("measuring")
    wait()
    for pair in pairs:
        pair.forget()
    began, cpu_began = time.monotonic(), cpu_s()
    poll.run_until(lambda: False, began + turn["measure_s"])
    elapsed, used = time.monotonic() - began, cpu_s() - cpu_began
    times: dict[str, list[float]] = {}
    for pair in pairs:
        for name, each in pair.found().items():
            times.setdefault(name, []).extend(each)
    messages = len(times["deliver"])
    percentiles = {
        f"{name}_ms": [round(percentile(each, share) * 1e3, 2) for share in (0.5, 0.99)]
        for name, each in times.items()
    }
    say(
        "measured",
        messages=messages,
        per_s=round(messages / elapsed, 1),
        **percentiles,
        deliver_steady_p99_ms=round(steady(window_p99s(times["deliver"], _WINDOW)) * 1e3, 2),
        load_us=round(used * 1e6 / max(1, messages), 1),
    )
    wait()
    for pair in pairs:
        pair.stopped = True
    if not poll.run_until(lambda: not any(pair.busy for pair in pairs), time.monotonic() + _LAST_S):
        raise SystemExit("messages were not delivered")
    say("done", sent=sum(pair.count for pair in pairs))
