"""Presence that sockets are told: some hundred writes a turn of the event loop, so that others have theirs.

Somebody whom thousands watch, or thousands who go together, are as many writes: tens of milliseconds in which
nobody would be answered. What waits is the newest about each person only: it is how they are, and what it
replaces need not be known. So there is never more of it than people who are watched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from itertools import islice

from edge_gateway.sockets.topics import Topics
from edge_gateway.sockets.windows import Window

_WRITES_A_TURN = 200
"""Some two milliseconds. Not a setting: it follows from what a write costs."""


class Crowds:
    """Tells windows what is heard about people, in the order in which it came of each."""

    def __init__(self, topics: Topics[Window]) -> None:
        self._topics = topics
        self._waiting: dict[bytes, tuple[str, bytes, Collection[Window]]] = {}
        """By channel: who, the newest frame about them, and who listens there.

        That is nobody once all have left: who then comes anew is told how they are, which may be newer.
        """
        self._writes: Iterator[None] | None = None
        """Each step writes one frame; None = nothing is to be told."""

    def tell(self, channel: bytes, user_id: str, frame: bytes) -> None:
        """A finished frame about somebody, for all who listen on their channel when its turn comes."""
        self._waiting[channel] = (user_id, frame, self._topics.of(channel))
        if self._writes is None:
            self._writes = self._write()
            asyncio.get_running_loop().call_soon(self._turn, self._writes)

    def _turn(self, writes: Iterator[None]) -> None:
        for _ in islice(writes, _WRITES_A_TURN):
            pass
        if self._writes is not None:
            asyncio.get_running_loop().call_soon(self._turn, writes)

    def _write(self) -> Iterator[None]:
        try:
            while self._waiting:
                channel = next(iter(self._waiting))
                user_id, frame, listeners = self._waiting.pop(channel)
                for window in tuple(listeners):
                    if window in listeners:  # it may have left meanwhile
                        window.show_presence(user_id, frame)
                        yield
        finally:
            self._writes = None
