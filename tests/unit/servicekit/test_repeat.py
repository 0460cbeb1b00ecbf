"""What is said of a task that fails, and that it goes on."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from servicekit.errors import ChatError, Reason
from servicekit.runner import repeat


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (ChatError(Reason.UNAVAILABLE, "away"), "warning"),
        (ConnectionRefusedError(), "warning"),
        (ChatError(Reason.INTERNAL, "a bug behind us"), "error"),
        (KeyError("a bug of ours"), "error"),
    ],
)
async def test_only_what_passes_by_itself_is_no_error(error: Exception, level: str) -> None:
    stop = asyncio.Event()
    done = 0

    async def work() -> None:
        nonlocal done
        done += 1
        if done == 1:
            raise error
        stop.set()

    with capture_logs() as logs:
        await repeat(stop, "task", 0.01, work)

    assert done == 2
    assert [entry["log_level"] for entry in logs] == [level]
