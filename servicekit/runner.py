"""Runs a process: one event loop (uvloop), stopped by SIGTERM or SIGINT."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger("servicekit.runner")


class StartError(Exception):
    """The process cannot start, for a reason its operator can fix; the text says which."""


def run(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Runs `main(stop)` until it returns; the first SIGTERM or SIGINT sets `stop`, a second one cancels it.

    A `StartError` ends the process with status 1 and one log line; any other error propagates.
    """
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_until_done(main))
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
