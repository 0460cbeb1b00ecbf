"""Fixtures of every suite; each lives in `tests/support/`."""

from __future__ import annotations

import signal
from types import FrameType

pytest_plugins = [
    "tests.support.backing",
    "tests.support.keys",
    "tests.support.spans",
    "tests.support.system",
]


def pytest_configure() -> None:
    # A suite over its budget gets SIGTERM: end as by Ctrl-C, so that fixtures stop what they started.
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
