"""A journal, put in order: who wanted what, what came of it, and what each device was told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.ledger.model import Model

Json = dict[str, Any]


@dataclass
class Action:
    """Something a person wanted, with all its attempts. Positions are those of the journal's entries."""

    op: str
    user: str
    wanted: Json
    began: int
    attempts: list[float] = field(default_factory=list)
    doubts: int = 0
    ended: int | None = None
    status: int = 0
    body: Any = None
    seconds: float = 0.0
    """How long the attempt that was answered took."""

    @property
    def acknowledged(self) -> bool:
        return 200 <= self.status < 300

    @property
    def refused(self) -> bool:
        return 400 <= self.status < 500


@dataclass
class History:
    """What one client did and saw."""

    people: set[str] = field(default_factory=set)
    members: dict[str, set[str]] = field(default_factory=dict)
    """Of each conversation."""
    actions: dict[str, Action] = field(default_factory=dict)
    devices: dict[str, Model] = field(default_factory=dict)
    frames: list[tuple[str, Json]] = field(default_factory=list)
    """(whose device, frame)."""
    loads: list[tuple[int, list[Json]]] = field(default_factory=list)
    """(where in the journal it began, messages)."""
    observed: dict[str, list[int]] = field(default_factory=dict)
    """The last numbers read while a block (an action) stood."""

    def of(self, *ops: str) -> list[Action]:
        """Actions of these kinds, in the order they began."""
        return [action for action in self.actions.values() if action.op in ops]


_ABOUT = {"at", "kind", "action", "op", "user"}


def read_history(entries: Iterable[Json]) -> History:
    """Puts a journal in order."""
    history = History()
    loading: dict[str, int] = {}
    for position, entry in enumerate(entries):
        match entry["kind"]:
            case "person":
                history.people.add(entry["user"])
            case "conversation":
                history.members[entry["conversation"]] = set(entry["members"])
            case "attempt":
                _attempt(history, position, entry)
            case "doubt":
                history.actions[entry["action"]].doubts += 1
            case "answer":
                action = history.actions[entry["action"]]
                action.ended, action.status, action.body = position, entry["status"], entry["body"]
                action.seconds = entry["at"] - action.attempts[-1]
            case "observed":
                history.observed.setdefault(entry["block"], []).append(entry["lastSeq"])
            case "opened":
                history.devices.setdefault(entry["device"], Model(entry["user"]))
            case "frame" | "reloading" | "reloaded" | "closed":
                model = history.devices[entry["device"]]
                model.take(entry)
                if entry["kind"] == "frame":
                    history.frames.append((model.user, entry["frame"]))
                elif entry["kind"] == "reloading":
                    loading[entry["device"]] = position
                elif entry["kind"] == "reloaded":
                    loaded = [message for page in entry["messages"].values() for message in page]
                    history.loads.append((loading[entry["device"]], loaded))
    return history


def _attempt(history: History, position: int, entry: Json) -> None:
    action = history.actions.get(entry["action"])
    if action is None:
        wanted = {key: value for key, value in entry.items() if key not in _ABOUT}
        action = history.actions[entry["action"]] = Action(entry["op"], entry["user"], wanted, position)
    action.attempts.append(entry["at"])
