"""Channels that sockets of this edge listen on together: from the first one on until the last has left."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from typing import Generic, Protocol, TypeVar

from servicekit.errors import ChatError, Reason

ListenerT = TypeVar("ListenerT")


class Subscriber(Protocol):
    """Where events come from (`Channels`)."""

    @property
    def connected(self) -> bool: ...

    def subscribe(self, channel: str) -> asyncio.Future[None]: ...

    def unsubscribe(self, channel: str) -> None: ...


class _Topic(Generic[ListenerT]):
    __slots__ = ("listeners", "subscribed")

    def __init__(self, subscribed: asyncio.Future[None]) -> None:
        self.subscribed: asyncio.Future[None] | None = subscribed
        """Done once Redis has confirmed the channel; None when that is known."""
        self.listeners: set[ListenerT] = set()


class Topics(Generic[ListenerT]):
    """Who listens on what."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber
        self._topics: dict[bytes, _Topic[ListenerT]] = {}

    def __len__(self) -> int:
        return len(self._topics)

    def of(self, channel: bytes) -> Collection[ListenerT]:
        """Who listens on a channel, and does later on, until the last has left; also who waits for its
        confirmation.
        """
        topic = self._topics.get(channel)
        return () if topic is None else topic.listeners

    async def join(self, channels: Iterable[str], listener: ListenerT) -> None:
        """Returns once what these carry is sure to arrive. Raises ChatError UNAVAILABLE.

        After anything but a return the listener is in none of them.
        """
        if not self._subscriber.connected:
            raise ChatError(Reason.UNAVAILABLE, "Events are not available; try again.")
        joined: list[tuple[str, _Topic[ListenerT]]] = []
        try:
            for channel in channels:
                topic = self._topics.get(channel.encode())
                if topic is None:
                    subscribed = self._subscriber.subscribe(channel)
                    subscribed.add_done_callback(take_note)
                    topic = self._topics[channel.encode()] = _Topic(subscribed)
                topic.listeners.add(listener)
                joined.append((channel, topic))
            for _, topic in joined:
                if topic.subscribed is not None:
                    # Shared by all who wait for it: one of them going away must not end it.
                    await asyncio.shield(topic.subscribed)
                    topic.subscribed = None
        except BaseException:
            self.leave((channel for channel, _ in joined), listener)
            raise

    def leave(self, channels: Iterable[str], listener: ListenerT) -> None:
        """The listener hears nothing of these any more. Repeatable."""
        for channel in channels:
            topic = self._topics.get(channel.encode())
            if topic is None or listener not in topic.listeners:
                continue
            topic.listeners.remove(listener)
            if not topic.listeners:
                del self._topics[channel.encode()]
                self._subscriber.unsubscribe(channel)


def take_note(subscribed: asyncio.Future[None]) -> None:
    """Its failure is known to those who wait for it; they may have given up by then."""
    if not subscribed.cancelled():
        subscribed.exception()
