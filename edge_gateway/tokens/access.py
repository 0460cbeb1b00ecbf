"""Who is not let in any more though a token says who they are: revoked sessions and bans. Pure.

An issuer's tokens are good until they expire, whatever happens meanwhile; so each edge knows by heart whose
are not (`edge_gateway/access.py` keeps that up to date), and a token is looked up here at every use.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from edge_gateway.tokens.verifier import Principal


class Standing(Enum):
    """Whether somebody with a good token is let in."""

    LET_IN = "let_in"
    REVOKED = "revoked"
    """The session is over: the token counts as an invalid one."""
    BANNED = "banned"


class AccessUnknownError(Exception):
    """Nothing was ever heard of revocations and bans: nobody can be let in now."""


@dataclass(slots=True)
class _Person:
    tokens_until: int | None = None
    sids: set[str] | None = None
    """None = no session of theirs was ended: most have none, and an empty set takes 200 bytes."""
    banned_until: float | None = None
    """Unix seconds; infinite = until it is lifted."""

    @property
    def blameless(self) -> bool:
        return self.tokens_until is None and self.sids is None and self.banned_until is None


class Table:
    """Revocations and bans by person. What is said last of each kind holds. Times are Unix seconds."""

    def __init__(self) -> None:
        self._people: dict[str, _Person] = {}

    def end_tokens(self, user_id: str, until: int) -> None:
        """Tokens issued in that second or before are over."""
        self._person(user_id).tokens_until = until

    def end_session(self, user_id: str, sid: str) -> None:
        """Tokens of that session are over."""
        person = self._person(user_id)
        if person.sids is None:
            person.sids = set()
        person.sids.add(sid)

    def ban(self, user_id: str, until: float | None) -> None:
        """Nothing of theirs is served until then; None = until it is lifted."""
        self._person(user_id).banned_until = math.inf if until is None else until

    def lift_ban(self, user_id: str) -> None:
        """They are not banned any more."""
        person = self._person(user_id)
        person.banned_until = None
        if person.blameless:
            del self._people[user_id]

    def standing(self, principal: Principal, now: float) -> Standing:
        """What holds at `now`. A token that is over says nothing of anybody: not that they are banned either.

        Whoever acts in another's name is let in where both of them are.
        """
        standing = self._standing(principal.user.user_id, principal, now)
        if principal.actor is None or standing is Standing.REVOKED:
            return standing
        actors = self._standing(principal.actor.user_id, principal, now)
        return standing if actors is Standing.LET_IN else actors

    def _standing(self, user_id: str, principal: Principal, now: float) -> Standing:
        """What holds of one of those whom a token is about.

        Times of issue have whole seconds, so a token of the revocation's own second is over, whichever came
        first; one without a time of issue is older than any revocation. The session of somebody who acts in
        another's name is theirs and the other's, and the one they are signed in with themself is one of it.
        """
        person = self._people.get(user_id)
        if person is None:
            return Standing.LET_IN
        if person.tokens_until is not None and math.floor(principal.issued_at) <= person.tokens_until:
            return Standing.REVOKED
        if person.sids is not None:
            if principal.sid in person.sids:
                return Standing.REVOKED
            if principal.actor is not None and principal.actor.session_id in person.sids:
                return Standing.REVOKED
        if person.banned_until is not None and now < person.banned_until:
            return Standing.BANNED
        return Standing.LET_IN

    def _person(self, user_id: str) -> _Person:
        return self._people.setdefault(user_id, _Person())


class Access:
    """The table in force; none until the first one is complete."""

    def __init__(self) -> None:
        self._table: Table | None = None

    @property
    def known(self) -> bool:
        """Whether anybody can be let in."""
        return self._table is not None

    def use(self, table: Table) -> None:
        """From here on this one holds."""
        self._table = table

    def standing(self, principal: Principal, now: float) -> Standing:
        """As the table has it. Raises AccessUnknownError while there is none."""
        if self._table is None:
            raise AccessUnknownError
        return self._table.standing(principal, now)
