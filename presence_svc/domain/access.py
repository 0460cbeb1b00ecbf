"""Who is not let in any more: what holds of somebody, and when saying it again is saying something new.

A change states all of its kind: of a person's tokens, of one session, of a ban there is one that holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class TokensOver:
    """Tokens issued in this second or before are over."""

    until: datetime
    """A whole second: tokens do not say more of when they were issued."""


@dataclass(frozen=True, slots=True)
class SessionOver:
    """One session is over."""

    sid: str


@dataclass(frozen=True, slots=True)
class Banned:
    """A ban."""

    until: datetime | None
    """None = until it is lifted."""


@dataclass(frozen=True, slots=True)
class NotBanned:
    """A ban that is lifted."""


AccessChange = TokensOver | SessionOver | Banned | NotBanned


def tokens_over(now: datetime) -> TokensOver:
    """Every token issued until now is over, and those of the rest of this second: they look the same."""
    return TokensOver(now.replace(microsecond=0))


def is_news(held: AccessChange | None, said: AccessChange) -> bool:
    """Whether anything else holds once `said` is said; `held` is what holds of its kind, None = nothing."""
    if held is None:
        return not isinstance(said, NotBanned)
    if isinstance(held, TokensOver) and isinstance(said, TokensOver):
        return said.until > held.until  # the clock of another replica may be behind
    return said != held
