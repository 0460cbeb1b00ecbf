"""What one device knows: the contract's client, as small as it can be.

Events are taken once by their id; messages stand by `seq`, and the later change of one wins. After a
reconnect the device loads what it may have missed, holding back the events that come meanwhile: those are
younger than what was loaded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass
class Thread:
    """One conversation on a device."""

    version: int = 0
    state: str | None = None
    folder: str | None = None
    policy: Json | None = None
    blocked_by_me: bool = False
    muted: bool = False
    archived: bool = False
    view_seq: int = 0
    """The last message when the view was taken that folder and flags are from."""
    last_read_seq: int = 0
    loaded_to: int = 0
    """Every change up to this one was loaded."""
    receipts: dict[str, int] = field(default_factory=dict)
    messages: dict[int, Json] = field(default_factory=dict)

    def put(self, message: Json) -> None:
        """A message, unless a later change of it is known."""
        known = self.messages.get(message["seq"])
        if known is None or message["changeSeq"] > known["changeSeq"]:
            self.messages[message["seq"]] = message

    def new_message(self, message: Json) -> None:
        """It brings the conversation back from the archive, unless that is muted."""
        self.put(message)
        if message["seq"] > self.view_seq and self.archived and not self.muted:
            self.archived = False
            self.folder = "inbox" if self.state == "active" else None

    @property
    def change_seq(self) -> int:
        """The last change that is known."""
        return max((message["changeSeq"] for message in self.messages.values()), default=0)

    def shown(self, user: str) -> Json:
        """What its person sees."""
        return {
            "version": self.version,
            "state": self.state,
            "folder": self.folder,
            "policy": self.policy,
            "blockedByMe": self.blocked_by_me,
            "muted": self.muted,
            "archived": self.archived,
            "lastReadSeq": self.last_read_seq,
            "unreadCount": sum(
                message["seq"] > self.last_read_seq
                and message["senderId"] != user
                and message["kind"] == "text"
                and message["redactedAt"] is None
                for message in self.messages.values()
            ),
            "receipts": dict(sorted(self.receipts.items())),
            "messages": {
                seq: (message["id"], message["changeSeq"], message["text"])
                for seq, message in sorted(self.messages.items())
            },
        }


class Model:
    """All that one device of `user` knows."""

    def __init__(self, user: str):
        self.user = user
        self.threads: dict[str, Thread] = {}
        self.cursor: str | None = None
        self._taken: set[str] = set()
        self._held: list[Json] | None = None

    def take(self, entry: Json) -> None:
        """An entry of the journal that is about this device."""
        match entry["kind"]:
            case "frame":
                self._frame(entry["frame"])
            case "reloading":
                self._held = self._held or []
            case "reloaded":
                self._load(entry["conversations"], entry["messages"])
                self._release()
            case "closed":
                self._release()

    def shown(self) -> dict[str, Json]:
        """What its person sees, by conversation."""
        return {key: thread.shown(self.user) for key, thread in self.threads.items()}

    def _frame(self, frame: Json) -> None:
        if "cursor" not in frame:
            return
        self.cursor = frame["cursor"]
        if self._held is not None:
            self._held.append(frame)
        else:
            self._apply(frame)

    def _release(self) -> None:
        held, self._held = self._held or [], None
        for frame in held:
            self._apply(frame)

    def _apply(self, frame: Json) -> None:
        if frame["eventId"] in self._taken:
            return
        self._taken.add(frame["eventId"])
        name, data = frame["type"], frame["data"]
        if "conversationId" not in frame:
            return
        if name.startswith("conversation.") and data["self"] is None:
            self.threads.pop(frame["conversationId"], None)
            return
        thread = self.threads.setdefault(frame["conversationId"], Thread())
        if name == "message.created":
            thread.new_message(data["message"])
        elif name == "message.updated":
            thread.put(data["message"])
        elif name == "read.receipt":
            self._receipt(thread, data["userId"], data["lastReadSeq"])
        elif name.startswith("conversation."):
            self._view(thread, {**data["conversation"], **data["self"]})

    def _load(self, conversations: Iterable[Json], messages: dict[str, list[Json]]) -> None:
        for conversation in conversations:
            thread = self.threads.setdefault(conversation["id"], Thread())
            self._view(thread, conversation)
            thread.loaded_to = max(thread.loaded_to, conversation["changeSeq"])
            for participant in conversation["participants"]:
                if participant["lastReadSeq"] is not None:
                    self._receipt(thread, participant["user"]["id"], participant["lastReadSeq"])
        for key, loaded in messages.items():
            for message in loaded:
                self.threads.setdefault(key, Thread()).put(message)

    def _view(self, thread: Thread, view: Json) -> None:
        self._receipt(thread, self.user, view["lastReadSeq"])
        # These have no version; the event of their last change comes last, with the view as it then is.
        thread.folder, thread.muted, thread.archived = view["folder"], view["muted"], view["archived"]
        thread.view_seq = view["lastSeq"]
        if view["version"] >= thread.version:
            thread.version, thread.state = view["version"], view["state"]
            thread.policy, thread.blocked_by_me = view["policy"], view["blockedByMe"]

    def _receipt(self, thread: Thread, user: str, seq: int) -> None:
        if user == self.user:
            thread.last_read_seq = max(thread.last_read_seq, seq)
        else:
            thread.receipts[user] = max(thread.receipts.get(user, 0), seq)


def fresh(user: str, conversation: Json, messages: Iterable[Json]) -> Json:
    """What a device that knew nothing would show of this conversation."""
    model = Model(user)
    model.take(
        {"kind": "reloaded", "conversations": [conversation], "messages": {conversation["id"]: messages}}
    )
    return model.threads[conversation["id"]].shown(user)
