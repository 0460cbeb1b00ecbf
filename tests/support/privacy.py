"""The privacy table: what two people of a conversation may see of each other.

Written from the contract ("Requests, blocks, and what the other side can tell"), never from the code, and
held against all of it. It is the same for both directions and whatever the two do for a living: what
is seen of somebody depends on the state, on who blocks whom, and on who of the two shows it. Who hides does
not see, so one setting that hides is enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import product


class Presence(StrEnum):
    """What `GET /v1/presence` and `presence.updated` tell of somebody."""

    SHOWN = "P"
    OFFLINE = "o"
    """As somebody who was never here: `offline`, `lastSeenAt: null`."""
    LEFT_OUT = "-"
    """Not in the answer: they share no accepted conversation."""


class Typing(StrEnum):
    """What comes of somebody's typing."""

    SHOWN = "T"
    SILENT = "-"


class Receipt(StrEnum):
    """What is told of how far somebody has read."""

    SHOWN = "R"
    AS_BEFORE = "g"
    """What was given before the block, and no later one."""
    HIDDEN = "-"


@dataclass(frozen=True)
class Sight:
    """What each of the two may see of the other."""

    presence: Presence
    typing: Typing
    receipt: Receipt


ROLES = ("recruiter", "company", "candidate")
"""Of those who talk."""
STATES = ("request", "active", "declined", "withdrawn", "expired")
SIDES = ("both", "initiator", "recipient", "neither")
"""Which of the two; of the settings: who shows it, of the blocks: who made one."""

# Rows: which of the two show it, by their setting for it. Columns: which of them block the other.
_ACTIVE = """
              neither   initiator   recipient   both
both          PTR       o-g         o-g         o-g
initiator     o--       o--         o--         o--
recipient     o--       o--         o--         o--
neither       o--       o--         o--         o--
"""
_ANY_OTHER_STATE = """
              neither   initiator   recipient   both
both          ---       ---         ---         ---
initiator     ---       ---         ---         ---
recipient     ---       ---         ---         ---
neither       ---       ---         ---         ---
"""


def _read(table: str) -> Mapping[tuple[str, str], Sight]:
    """By who shows and who blocks."""
    head, *rows = (line.split() for line in table.strip().splitlines())
    return {
        (row[0], blocks): Sight(Presence(cell[0]), Typing(cell[1]), Receipt(cell[2]))
        for row in rows
        for blocks, cell in zip(head, row[1:], strict=True)
    }


_TABLES = {state: _read(_ACTIVE if state == "active" else _ANY_OTHER_STATE) for state in STATES}


@dataclass(frozen=True)
class Cell:
    """One line of the table: a conversation between two people."""

    initiator: str
    """Their role."""
    recipient: str
    state: str
    shows: str
    """Who of the two shows what is asked for."""
    blocks: str
    """Who of the two blocks the other."""

    @property
    def sight(self) -> Sight:
        """What the contract says."""
        return _TABLES[self.state][self.shows, self.blocks]

    def __str__(self) -> str:
        who = f"{self.initiator} to {self.recipient}, {self.state}"
        return f"{who}, shown by {self.shows}, block by {self.blocks}"


def pairs() -> Iterator[tuple[str, str]]:
    """Roles of (initiator, recipient), as the product lets people start."""
    for initiator, recipient in product(ROLES, repeat=2):
        if (initiator, recipient) != ("candidate", "candidate"):
            yield initiator, recipient


def cells() -> Iterator[Cell]:
    """The whole table."""
    for (initiator, recipient), state, shows, blocks in product(pairs(), STATES, SIDES, SIDES):
        yield Cell(initiator, recipient, state, shows, blocks)


def is_of(side: str, sides: str) -> bool:
    """Whether that side ("initiator" or "recipient") is among `sides`, a member of SIDES."""
    return sides in (side, "both")
