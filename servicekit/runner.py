"""Runs a process: one event loop (uvloop), stopped by SIGTERM or SIGINT; and what it does again and again."""

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import structlog

from servicekit.faults import as_unavailable

log = structlog.get_logger("servicekit.runner")
_T = TypeVar("_T")


class StartError(Exception):
    """The process cannot start, for a reason its operator can fix; the text says which."""


def run(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Runs `main(stop)` until it returns; the first SIGTERM or SIGINT sets `stop`, a second one cancels it.

    A `StartError` ends the process with status 1 and one log line; any other error propagates.
    """
    with _known_reasons(), asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_until_done(main))


def run_once(work: Coroutine[Any, Any, _T]) -> _T:
    """Runs `work` to its end, for a process that has no other; errors are as in `run`."""
    with _known_reasons():
        return asyncio.run(work)


def keep_what_stands() -> None:
    """What a process has made until it is ready stays: a full collection need not look at it again.

    That takes some 60 ms in which nobody is answered. Once, at the end of the start.
    """
    gc.collect()
    gc.freeze()


async def repeat(stop: asyncio.Event, name: str, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    """Does `work` every `seconds` until the stop; whatever fails is logged and tried the next time."""
    while not stop.is_set():
        try:
            await work()
        except Exception as error:
            fault = as_unavailable(error)
            if fault is None or not fault.retryable:
                log.exception("task_failed", task=name)
            else:
                log.warning("task_waits", task=name, cause=type(error).__name__)
        await until_stop(stop, seconds)


async def until_stop(stop: asyncio.Event, seconds: float) -> None:
    """Returns after so long, or at the stop."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


@contextmanager
def _known_reasons() -> Iterator[None]:
    try:
        yield
    except StartError as error:
        log.error("cannot start", error=str(error))
        sys.exit(1)


async def _until_done(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    task = asyncio.ensure_future(main(stop))

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            log.warning("stopping at once", signal=number.name)
            task.cancel()
        else:
            log.info("stopping", signal=number.name)
            stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    await task


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    if sys.platform == "win32":
        return asyncio.new_event_loop
    import uvloop  # noqa: PLC0415 - not installable on Windows

    return uvloop.new_event_loop
