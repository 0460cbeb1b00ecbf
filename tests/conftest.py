"""Fixtures of every suite; each lives in `tests/support/`."""

from __future__ import annotations

import signal
from types import FrameType

from hypothesis import HealthCheck, settings

pytest_plugins = [
    "tests.support.backing",
    "tests.support.keys",
    "tests.support.spans",
    "tests.support.system",
]


# The same examples in each run, however slow the machine is: what fails fails again.
# `--hypothesis-profile default` looks for more.
settings.register_profile(
    "suite", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")


def pytest_configure() -> None:
    # A suite over its budget gets SIGTERM: end as by Ctrl-C, so that fixtures stop what they started.
    signal.signal(signal.SIGTERM, _interrupt)
    # A run in the background of a shell ignores Ctrl-C, and so would what tests start and end by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
