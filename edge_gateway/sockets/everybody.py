"""What is said to all sockets of this edge at once: framed once, kept nowhere, left out for who is behind.

Thousands of writes take tens of milliseconds, so they are made some hundred a turn of the event loop, and
whatever else is due goes in between. What comes meanwhile waits and is written in one piece to each socket:
the more comes, the less each costs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection

import structlog

from edge_gateway.metrics import Metrics
from edge_gateway.sockets import wire
from edge_gateway.sockets.events import announced
from edge_gateway.sockets.socket import Socket, write_ephemeral

_SOCKETS_A_TURN = 500
"""A few milliseconds. Not a setting: it follows from what a write costs."""
_log = structlog.get_logger(__name__)


class Everybody:
    """`sockets`: those of this edge, as they come and go.

    `max_bytes`: of what is written in one piece; `max_waiting`: of what waits; more is told nobody.
    """

    def __init__(
        self, sockets: Collection[Socket], metrics: Metrics, *, max_bytes: int, max_waiting: int
    ) -> None:
        self._sockets = sockets
        self._metrics = metrics
        self._max_bytes = max_bytes
        self._max_waiting = max_waiting
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._turning = False

    def receive(self, payload: bytes) -> None:
        """What the channel for everybody carried."""
        try:
            frame = wire.text_frame(announced(payload))
        except ValueError:
            _log.error("announcement_unreadable", size=len(payload))
            return
        if len(frame) > self._max_bytes:
            _log.error("announcement_too_long", size=len(payload))
            return
        if self._size + len(frame) > self._max_waiting:
            self._metrics.frames_dropped.add(len(self._sockets))
            return
        self._waiting.append(frame)
        self._size += len(frame)
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        """Puts together what waits, as far as it may be written in one piece."""
        pieces, size = [], 0
        while self._waiting and size + len(self._waiting[0]) <= self._max_bytes:
            pieces.append(self._waiting.popleft())
            size += len(pieces[-1])
        self._size -= size
        self._turn(tuple(self._sockets), 0, b"".join(pieces), len(pieces))

    def _turn(self, sockets: tuple[Socket, ...], start: int, frames: bytes, number: int) -> None:
        end = start + _SOCKETS_A_TURN
        told, passed_over = write_ephemeral(sockets[start:end], frames)
        self._metrics.frames_out.add(told * number)
        self._metrics.frames_dropped.add(passed_over * number)
        loop = asyncio.get_running_loop()
        if end < len(sockets):
            loop.call_soon(self._turn, sockets, end, frames, number)
        elif self._waiting:
            loop.call_soon(self._begin)
        else:
            self._turning = False
