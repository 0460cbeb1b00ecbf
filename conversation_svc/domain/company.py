"""Who may see whom: whether somebody is here, and that they type.

The same for both of two people, so that whoever hides does not see. How far somebody has read is no part of
this: message_svc keeps it, and `rights.compute_gate` tells it who may read that.
"""

from __future__ import annotations

from dataclasses import dataclass

from conversation_svc.domain.types import Settings, State


@dataclass(frozen=True, slots=True)
class Between:
    """What stands between two people who are both in a conversation now."""

    state: State
    """Of the conversation, as it truly stands."""
    blocked: bool
    """Either way, and also on one side: what is asked here is between persons."""
    settings: tuple[Settings, Settings]
    """Of the one and of the other."""


@dataclass(frozen=True, slots=True)
class Companion:
    """Somebody else in a conversation, and what passes between the two."""

    user_id: str
    presence: bool
    typing: bool


@dataclass(frozen=True, slots=True)
class Company:
    """Who else is in a conversation, for a viewer who is in it."""

    companions: tuple[Companion, ...]


@dataclass(frozen=True, slots=True)
class PresenceRight:
    """Whether a viewer may see if somebody is here whom they share an active conversation with."""

    user_id: str
    visible: bool


def sees_presence(between: Between) -> bool:
    """Whether each may see if the other is here."""
    return _open(between) and all(each.presence for each in between.settings)


def sees_typing(between: Between) -> bool:
    """Whether each may see that the other types."""
    return _open(between) and all(each.typing_indicators for each in between.settings)


def company_of(others: dict[str, Between]) -> Company:
    """The others by their ids, without those between whom and the viewer nothing passes."""
    companions = (
        Companion(user_id, presence=sees_presence(between), typing=sees_typing(between))
        for user_id, between in others.items()
    )
    return Company(tuple(each for each in companions if each.presence or each.typing))


def _open(between: Between) -> bool:
    return between.state is State.ACTIVE and not between.blocked
