"""One user's events when the last of their sockets goes while they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import orjson

from edge_gateway.sockets.events import Event
from edge_gateway.sockets.feed import Feed
from edge_gateway.sockets.hydration import Hydration
from edge_gateway.sockets.session import Session
from edge_gateway.tokens.verifier import Principal
from servicekit.identity import ActingUser


class Joined:
    """Knows all that is asked, and who asked."""

    def __init__(self) -> None:
        self.worker: asyncio.Task[Any] | None = None

    async def frames(self, user: ActingUser, events: Sequence[Event]) -> list[bytes]:
        self.worker = asyncio.current_task()
        await asyncio.sleep(0)
        return [each.event_id.encode() for each in events]


class Leaving:
    """Goes with the first frame, as a reader who is too far behind."""

    opening = False
    principal = Principal(ActingUser("ada", "agent"), expires_at=2e9)

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.told: list[int] = []

    def deliver(self, number: int, frame: bytes) -> None:
        self.told.append(number)
        self.feed.sessions.clear()
        self.feed.stop()


def event(number: int) -> bytes:
    """An event that has to be joined, as its channel carries it."""
    frame = {
        "type": "conversation.updated",
        "eventId": str(number),
        "eventVersion": 1,
        "occurredAt": "2026-01-01T00:00:00Z",
        "conversationId": "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
    }
    return b"%d-0\n" % number + orjson.dumps(frame)


async def test_the_last_socket_may_go_between_two_events_that_waited() -> None:
    joined = Joined()
    feed = Feed(asyncio.get_running_loop().create_future(), cast("Hydration", joined), max_waiting=1000)
    leaving = Leaving(feed)
    feed.sessions.append(cast("Session", leaving))
    feed.receive(event(1))
    feed.receive(event(2))
    while not leaving.told:
        await asyncio.sleep(0)
    assert joined.worker is not None
    await asyncio.wait({joined.worker})
    assert leaving.told == [1]
    assert joined.worker.cancelled() or joined.worker.exception() is None
