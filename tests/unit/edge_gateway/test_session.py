"""What becomes of a client's frames when the socket closes under them."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from edge_gateway.sockets.hydration import Hydration
from edge_gateway.sockets.pace import Paces
from edge_gateway.sockets.session import Session
from edge_gateway.sockets.wheel import Wheel
from edge_gateway.tokens.verifier import Principal
from servicekit.clock import SystemClock
from servicekit.identity import ActingUser


async def test_a_socket_that_closes_while_a_frame_is_handled_ends_the_work_without_a_fault() -> None:
    handled: list[bytes] = []
    workers: list[asyncio.Task[Any]] = []

    async def handle(session: Session, payload: bytes) -> None:
        handled.append(payload)
        workers.append(cast("asyncio.Task[Any]", asyncio.current_task()))
        await asyncio.sleep(0)
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
        alarms=Wheel(60),
    )
    session.on_text(b"one")
    session.on_text(b"two")
    while not workers:
        await asyncio.sleep(0)
    await asyncio.wait(workers)
    assert workers[0].exception() is None
    assert handled == [b"one"]
