"""Every call has a deadline, and its handler is cancelled when it passes."""

import asyncio
from contextvars import ContextVar
from typing import Any

from servicekit.errors import DeadlineError
from servicekit.interceptors.base import Call, Proceed, UnaryInterceptor

_deadline: ContextVar[float | None] = ContextVar("chat_deadline", default=None)


def remaining_seconds() -> float | None:
    """What is left of the surrounding call, at most zero when it is over; None outside of one."""
    deadline = _deadline.get()
    return None if deadline is None else deadline - asyncio.get_running_loop().time()


class DeadlineInterceptor(UnaryInterceptor):
    """Gives a deadline to calls without one and refuses those whose time is already over."""

    def __init__(self, default_seconds: float) -> None:
        self._default = default_seconds

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Handles the call within its time; DeadlineError when that passes."""
        given = call.time_remaining()
        seconds = self._default if given is None else given
        if seconds <= 0:
            raise DeadlineError
        deadline = asyncio.get_running_loop().time() + seconds
        _deadline.set(deadline)
        try:
            async with asyncio.timeout_at(deadline) as scope:
                return await proceed()
        except TimeoutError as error:
            if scope.expired():
                raise DeadlineError from error
            raise
