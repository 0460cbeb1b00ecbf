"""What events that waited are looked up for, and how long."""

from __future__ import annotations

import asyncio

import pytest

from edge_gateway.joins import Current
from edge_gateway.metrics import Metrics
from edge_gateway.sockets.events import Event
from edge_gateway.sockets.hydration import Hydration
from servicekit.clock import SystemClock
from servicekit.identity import ActingUser
from tests.support.sockets import WHERE


async def _nothing(*_asked: object) -> Current:
    return Current({}, {})


@pytest.mark.parametrize("at", ["2020-01-02T03:04:05.678Z", "2920-01-02T03:04:05.678Z"])
async def test_a_conversation_that_is_not_there_is_not_waited_for_at_another_time_than_its_event(
    at: str,
) -> None:
    hydration = Hydration(_nothing, Metrics(), SystemClock(), patience_s=60)
    event = Event("17-1", "conversation.updated", "e", 1, at, WHERE, {})
    async with asyncio.timeout(30):
        assert await hydration.frames(ActingUser("ada", "candidate"), [event]) == [None]
