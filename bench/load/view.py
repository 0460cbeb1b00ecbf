"""What a person sees of the chat, kept as a client keeps it: from the welcome, and then event by event."""

from __future__ import annotations

from typing import Any

import orjson

Facts = tuple[int, dict[str, int]]
"""Unread messages of all conversations together, and the last message's number in each."""


class View:
    """Of one person, over all their sockets in turn. `cursor`: where to resume; "" before the first."""

    __slots__ = ("_last", "_unread", "_user_id", "cursor")

    def __init__(self) -> None:
        self.cursor = ""
        self._user_id = ""
        self._unread = 0
        self._last: dict[str, int] = {}

    def take(self, payload: bytes) -> None:
        """One frame."""
        frame = orjson.loads(payload)
        self.cursor = frame.get("cursor", self.cursor)
        match frame["type"]:
            case "system.welcome":
                self._welcome(frame["data"])
            case "message.created":
                message = frame["data"]["message"]
                where, seq = message["conversationId"], message["seq"]
                if seq > self._last.get(where, 0):  # else the welcome knew it already
                    self._last[where] = seq
                    self._unread += message["senderId"] != self._user_id

    def _welcome(self, data: dict[str, Any]) -> None:
        self._user_id = data["userId"]
        self._unread = data["unread"]["messages"]
        known = self._last if data["resumed"] else {}
        self._last = known | {each["conversationId"]: each["lastSeq"] for each in data["watchList"]}

    @property
    def facts(self) -> Facts:
        """What two views of the same person must agree on."""
        return self._unread, self._last
