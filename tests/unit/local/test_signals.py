"""What a signal does, by how far a run has come."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from deploy.local.signals import Signals


@pytest_asyncio.fixture(autouse=True)
async def _handlers_go() -> AsyncIterator[None]:
    yield
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().remove_signal_handler(number)


async def test_what_comes_while_signals_are_held_is_received_afterwards() -> None:
    cleaned = False

    async def run() -> None:
        nonlocal cleaned
        signals = Signals()
        signals.hold()
        signals.receive(signal.SIGTERM)
        await asyncio.sleep(0)
        cleaned = True
        signals.release()
        assert signals.received is signal.SIGTERM
        await asyncio.sleep(60)  # never ends by itself: it is cancelled

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(run())
    assert cleaned


async def test_nothing_held_is_nothing_received() -> None:
    async def run() -> None:
        signals = Signals()
        signals.hold()
        signals.release()
        await asyncio.sleep(0)
        assert signals.received is None
        signals.receive(signal.SIGINT)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(60)  # never ends by itself: it is cancelled

    await asyncio.create_task(run())
