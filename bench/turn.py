"""One turn of a load program: it loads for a while, and what that took is measured.

The program says `measuring` when it is warm, `measured` with what it found, and `done` when all that it asked
for has come; before it goes on from the first two it waits for us, who look at the processes meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.scenario import Row
from bench.world import Cost, Load

_WARM_WITHIN_S = 330.0
"""Sockets are opened first."""
_TOLD_WITHIN_S = 60.0
_LOAD = "load"


async def turn(program: Load, what: Mapping[str, Any], roots: Mapping[str, int], *, unit: str) -> Row:
    """What the program found, `cpu_us`: microseconds of each of `roots` for one of its `unit`, and
    `elsewhere_cores`: how many cores were at work meanwhile for others than these and the program.

    `what` has `measure_s`; `unit` is a count among what it found. RuntimeError when the program fails.
    """
    program.tell(what)
    await program.event("measuring", within_s=_WARM_WITHIN_S)
    cost = Cost({**roots, _LOAD: program.pid})
    program.go_on()
    told = await program.event("measured", within_s=what["measure_s"] + 30)
    cpu_us, elsewhere = cost.per(told[unit]), cost.elsewhere_cores()
    cpu_us.pop(_LOAD, None)  # it has told that itself
    program.go_on()
    done = await program.event("done", within_s=_TOLD_WITHIN_S)
    return {**told, **done, "cpu_us": cpu_us, "elsewhere_cores": elsewhere}
