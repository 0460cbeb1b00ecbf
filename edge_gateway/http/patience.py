"""Times that mostly are not used up, all of one length: one timer for many of them.

A timer of its own for each request, set and taken back, costs more than all else that is done for its sake.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterator
from itertools import takewhile
from types import TracebackType
from typing import Any, Generic, TypeVar, cast

WaitedForT = TypeVar("WaitedForT", bound=Hashable)


class Patience(Generic[WaitedForT]):
    """Each may take `seconds`; `on_over` is called with those that took longer."""

    def __init__(self, seconds: float, on_over: Callable[[WaitedForT], None]) -> None:
        self._seconds = seconds
        self._on_over = on_over
        self._until: dict[WaitedForT, float] = {}
        """Those that began first stand first, and are over first."""
        self._timer: asyncio.TimerHandle | None = None

    def __contains__(self, each: WaitedForT) -> bool:
        return each in self._until

    def __iter__(self) -> Iterator[WaitedForT]:
        return iter(tuple(self._until))

    def __len__(self) -> int:
        return len(self._until)

    def begin(self, each: WaitedForT) -> None:
        """Its time begins; it must not run already."""
        loop = asyncio.get_running_loop()
        self._until[each] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._on_time)

    def end(self, each: WaitedForT) -> None:
        """It has what was waited for, or is given up. Repeatable."""
        self._until.pop(each, None)

    def close(self) -> None:
        """Nobody is told of anything any more."""
        self._until.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_time(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        # Most are not over yet: no copy of all.
        for each in [*takewhile(lambda each: self._until[each] <= now, self._until)]:
            if self._until.pop(each, None) is not None:  # else one before it had it ended
                self._on_over(each)
        # Not set before: whoever began meanwhile is not the first to be over.
        first = next(iter(self._until.values()), None)
        self._timer = None if first is None else loop.call_at(first, self._on_time)


class TimeLimit:
    """`asyncio.timeout` of one length, for many tasks.

    with limit():  # raises TimeoutError when it took longer
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._patience: Patience[_Limited] = Patience(seconds, _Limited.cut_short)

    def __call__(self) -> _Limited:
        return _Limited(self._patience)


class _Limited:
    __slots__ = ("_cancelling", "_over", "_patience", "_task")

    def __init__(self, patience: Patience[_Limited]) -> None:
        self._patience = patience
        self._over = False
        self._task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._cancelling = self._task.cancelling()

    def cut_short(self) -> None:
        """It took too long."""
        self._over = True
        self._task.cancel()

    def __enter__(self) -> None:
        self._patience.begin(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._patience.end(self)
        # As asyncio.timeout does: somebody else's wish to end the task stays what it is.
        if self._over and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
