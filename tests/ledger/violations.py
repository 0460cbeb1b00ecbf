"""What the checker compares and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Json = dict[str, Any]


class Column(StrEnum):
    """Where a violation counts in the table."""

    LOST = "lost"
    DOUBLED = "doubled"
    GAPS = "gaps"
    VIEWS = "views wrong"
    OTHER = "other"


@dataclass(frozen=True)
class Violation:
    """A promise that was not kept."""

    invariant: str
    column: Column
    text: str
    backlog: bool = False
    """Whether it is what is only not done yet: no view, which has a minute, but work that waits its turn."""


@dataclass(frozen=True)
class View:
    """One person's view over REST, loaded from nothing."""

    unread: Json
    folders: Mapping[str, list[Json]]
    messages: Mapping[str, list[Json]] = field(default_factory=dict)
    """By conversation, all of them."""
    unlisted: Mapping[str, Json] = field(default_factory=dict)
    """Conversations that stand in no list and are read by their id."""

    @property
    def conversations(self) -> dict[str, Json]:
        """Those of all folders."""
        return {item["id"]: item for items in self.folders.values() for item in items}
