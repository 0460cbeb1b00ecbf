"""What stops a local start, told in one sentence to the person who asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine


class LocalError(Exception):
    """Something outside the code is missing or in the way; the text says what and what to do about it."""


async def together(*work: Coroutine[None, None, None]) -> None:
    """Runs all at once; when one fails the others are cancelled. Several LocalErrors become one."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except ExceptionGroup as failed:
        # Not `except*`: Python before 3.11.4 wraps what is raised there into a group again.
        if failed.split(LocalError)[1] is not None:
            raise
        raise LocalError("\n".join(str(error) for error in failed.exceptions)) from None
