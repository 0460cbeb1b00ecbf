"""What every edge has to look at anew: told on one channel, on which each always listens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from servicekit import control
from servicekit.control import Kind

_log = structlog.get_logger(__name__)

Listener = Callable[[Sequence[str]], None]
"""Called with the people whom something changed for; must not block."""


class Control:
    """Who has to hear of which kind of news."""

    def __init__(self) -> None:
        self._listeners: dict[Kind, Listener] = {}

    def listen(self, kind: Kind, listener: Listener) -> None:
        """Named before anything can come in."""
        self._listeners[kind] = listener

    def receive(self, _channel: bytes, payload: bytes) -> None:
        """What the channel carried."""
        try:
            news = control.decode(payload)
        except ValueError:
            _log.warning("news_unreadable", size=len(payload))
            return
        listener = self._listeners.get(news.kind)
        if listener is not None:
            listener(news.user_ids)
