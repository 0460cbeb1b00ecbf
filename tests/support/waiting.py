"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

_T = TypeVar("_T")


async def eventually(
    probe: Callable[[], Awaitable[_T]], *, until: Callable[[_T], bool] = bool, within: float = 60.0
) -> _T:
    """Calls `probe` until `until` holds of its result, and returns that; gives up after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        value = await probe()
        if until(value):
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not so within {within} s; last seen: {value!r}")
        await asyncio.sleep(0.02)
