"""What one socket has on screen, and what may be shown on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from edge_gateway.sockets.session import Session


class Screen:
    """A conversation that a socket has open."""

    __slots__ = (
        "_on_time",
        "conversation_id",
        "doubts",
        "due",
        "failures",
        "known",
        "listens",
        "opened",
        "present",
        "slot",
        "window",
    )

    def __init__(
        self,
        window: Window,
        conversation_id: str,
        opened: asyncio.Future[None],
        on_time: Callable[[Screen], None],
    ) -> None:
        self._on_time = on_time
        self.window = window
        self.conversation_id = conversation_id
        self.opened: asyncio.Future[None] | None = opened
        """Who opens it waits for this."""
        self.present: frozenset[str] = frozenset()
        """Whose presence may be shown, as it was answered last."""
        self.known = False
        """Whether that still holds; if not, nothing is shown."""
        self.listens = False
        """Whether it hears who types."""
        self.due = True
        """It has to be asked."""
        self.failures = 0
        """How often in a row there was no answer."""
        self.doubts = 0
        """How often something changed that it depends on: an answer counts when none came meanwhile."""
        self.slot: int | None = None
        """Of the time when it is asked again."""

    def doubt(self) -> None:
        """Something changed: nothing is shown until it is asked anew."""
        self.known = False
        self.due = True
        self.doubts += 1

    def on_time(self) -> None:
        """It is to be asked again."""
        self.slot = None
        self._on_time(self)


class Window:
    """All that a socket has open."""

    __slots__ = ("heard", "people", "screens", "session", "stale", "worker")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.screens: dict[str, Screen] = {}
        """By conversation."""
        self.people: set[str] = set()
        """Whose presence it listens to."""
        self.stale: set[str] = set()
        """Those of them of whom it was not told something that came: they are looked up again."""
        self.heard: set[str] | None = None
        """While some are looked up: those of whom newer things were told meanwhile."""
        self.worker: asyncio.Task[None] | None = None
        """Asks what may be shown."""

    def sees(self, user_id: str) -> bool:
        """Whether somebody's presence may be shown now."""
        return any(screen.known and user_id in screen.present for screen in self.screens.values())

    def shows(self, conversation_id: str) -> bool:
        """Whether it may be shown now who types in a conversation."""
        screen = self.screens.get(conversation_id)
        return screen is not None and screen.known

    def wanted(self) -> set[str]:
        """Whose presence is to be listened to."""
        return set().union(*(screen.present for screen in self.screens.values()))

    def due(self) -> list[Screen]:
        """What has to be asked."""
        return [screen for screen in self.screens.values() if screen.due]

    def show_presence(self, user_id: str, frame: bytes) -> None:
        """A finished frame about somebody it listens to: told if it may be and the reader is ready for it."""
        if self.sees(user_id) and self.session.offer(frame):
            if self.heard is not None:
                self.heard.add(user_id)
            self.stale.discard(user_id)
        else:
            self.stale.add(user_id)


def doubted(windows: Iterable[Window], user_id: str | None = None) -> set[Window]:
    """Doubts all their screens, or those that show somebody; returns whose were."""
    found: set[Window] = set()
    for window in windows:
        for screen in window.screens.values():
            if user_id is None or user_id in screen.present:
                screen.doubt()
                found.add(window)
    return found
