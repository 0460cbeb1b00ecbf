"""A load program's two ends: its configuration from stdin, signals and its result through stdout."""

from __future__ import annotations

import json
import resource
import sys
from typing import Any


def configuration() -> Any:
    """The next line that the bench writes; None when there comes no more."""
    line = sys.stdin.readline()
    return json.loads(line) if line.strip() else None


def say(event: str, **facts: object) -> None:
    """A line that the bench waits for."""
    print(json.dumps({"event": event, **facts}), flush=True)


def wait() -> None:
    """Until the bench says go on."""
    sys.stdin.readline()


def cpu_s() -> float:
    """Seconds of CPU that this program has used."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
