"""What becomes of a client's frames when the socket closes under them."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from edge_gateway.sockets.codes import Close
from edge_gateway.sockets.hydration import Hydration
from edge_gateway.sockets.pace import Paces
from edge_gateway.sockets.session import Session
from edge_gateway.sockets.wheel import Wheel
from edge_gateway.tokens.verifier import Principal
from servicekit.clock import SystemClock
from servicekit.identity import ActingUser


@pytest.mark.parametrize(
    ("ended_with", "expected"),
    [(None, [b"one", b"two"]), (Close.RESTART, [b"one", b"two"]), (Close.FLOODING, [b"one"])],
)
async def test_what_was_said_before_the_end_is_handled_unless_the_edge_had_enough_of_it(
    ended_with: Close | None, expected: list[bytes]
) -> None:
    handled: list[bytes] = []
    workers: list[asyncio.Task[Any]] = []

    async def handle(session: Session, payload: bytes) -> None:
        handled.append(payload)
        workers.append(cast("asyncio.Task[Any]", asyncio.current_task()))
        if session.closed:
            return
        await asyncio.sleep(0)
        session.ended_with = ended_with
        session.on_closing()

    session = Session(
        Principal(ActingUser("ada", "agent"), expires_at=2e9),
        clock=SystemClock(),
        hydration=cast("Hydration", None),  # nothing waits here
        max_held=10,
        max_age_s=60,
        paces=Paces(None, None),
        handle=handle,
        on_end=lambda _session: None,
        on_sign=lambda _session: None,
        alarms=Wheel(60),
    )
    session.on_text(b"one")
    session.on_text(b"two")
    while not workers:
        await asyncio.sleep(0)
    await asyncio.wait(workers)
    assert workers[0].exception() is None
    assert handled == expected
