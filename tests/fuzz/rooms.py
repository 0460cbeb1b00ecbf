"""Sockets of the edge without a network: a transport that keeps what is written, and sessions on it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from edge_gateway.metrics import Metrics
from edge_gateway.rates import Policy
from edge_gateway.sockets.hydration import Hydration
from edge_gateway.sockets.pace import Paces
from edge_gateway.sockets.session import Session
from edge_gateway.sockets.socket import Limits, Socket
from edge_gateway.sockets.wheel import Wheel
from edge_gateway.tokens.verifier import Principal
from servicekit.clock import SystemClock
from servicekit.identity import ActingUser

LIMITS = Limits(
    ping_s=3600, close_timeout_s=60, max_frame=16 * 1024, max_buffer=64 * 1024, max_ephemeral=16 * 1024
)

UNLIMITED = Paces(None, None)


def _nobody_counts(_socket: Socket) -> None:
    """Nobody has to know that it is gone."""


class Transport(asyncio.Transport):
    """Takes what is written; `stalled`: the peer reads none of it."""

    def __init__(self, *, stalled: bool = False) -> None:
        super().__init__()
        self.written = bytearray()
        self._stalled = stalled
        self._protocol: asyncio.BaseProtocol | None = None
        self._closing = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Whoever waits for it would wait for ever: nothing here ever empties."""

    def get_write_buffer_size(self) -> int:
        return len(self.written) if self._stalled else 0

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """The peer is told nothing more; it may go on."""

    def pause_reading(self) -> None:
        """What is there already still comes."""

    def resume_reading(self) -> None:
        """It was never stopped."""

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._lost)

    def _lost(self) -> None:
        if isinstance(self._protocol, asyncio.Protocol):
            self._protocol.connection_lost(None)


class Rooms:
    """Makes sessions and their sockets; `on_gone` hears of each connection that is gone."""

    def __init__(
        self, hydration: Hydration, metrics: Metrics, on_gone: Callable[[Socket], None] = _nobody_counts
    ) -> None:
        self._hydration = hydration
        self._metrics = metrics
        self._clock = SystemClock()
        self._pings, self._alarms = Wheel(60), Wheel(60)
        self._on_gone = on_gone

    def session(
        self,
        user_id: str,
        handle: Callable[[Session, bytes], Awaitable[None]],
        on_end: Callable[[Session], None],
        *,
        paces: Paces = UNLIMITED,
    ) -> Session:
        """One that is not open yet."""
        expires_at = int(self._clock.now().timestamp()) + 86_400
        return Session(
            Principal(ActingUser(user_id, "candidate"), expires_at=expires_at),
            clock=self._clock,
            hydration=self._hydration,
            max_held=1000,
            max_age_s=86_400,
            paces=paces,
            handle=handle,
            on_end=on_end,
            on_sign=lambda _: None,
            alarms=self._alarms,
        )

    def open(self, session: Session, transport: Transport) -> Socket:
        """Its socket; the welcome and what follows it are not kept."""
        socket = Socket(
            transport,
            session,
            LIMITS,
            self._metrics,
            head=b"",
            pings=self._pings,
            on_gone=self._on_gone,
        )
        session.open(socket, b"{}", (), None)
        transport.written.clear()
        return socket


def visit_paces(chance: random.Random) -> Paces | None:
    """Mostly none, so that every frame is handled."""
    if chance.random() > 0.05:
        return None
    return chance.choice((Paces(Policy(20, 10), None), Paces(None, Policy(20, 10))))
