"""A token's text to the person it was issued to."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from edge_gateway.tokens.issuers import (
    Actor,
    Issuer,
    UnacceptableClaimsError,
    acting_user,
    actor,
    check_together,
)
from edge_gateway.tokens.jwks import Keys
from servicekit.clock import Clock
from servicekit.identity import ActingUser

LEEWAY_S = 5
_MAX_TOKEN = 8192
"""Neither is a setting: the contract has them."""


class TokenRejectedError(Exception):
    """Not a token that is let in. REST has one answer whatever the `cause`; sockets tell some apart."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who proved who they are: by a token of when and until when (Unix seconds)."""

    user: ActingUser
    expires_at: float
    issued_at: float = 0.0
    """0 when the token does not say."""
    actor: Actor | None = None
    """Who acts in this person's name; None also when somebody does and the token does not say who."""

    @property
    def sid(self) -> str | None:
        """The session at the issuer, as Clerk's tokens name it; None when the token names none."""
        return self.user.session_id

    @property
    def read_only(self) -> bool:
        """Somebody else acts in this person's name: they may look, not touch."""
        return self.user.impersonator is not None


@dataclass(frozen=True, slots=True)
class _Verified:
    principal: Principal
    not_before: float
    issuer: str
    generation: int


class TokenVerifier:
    """Verifies tokens; so many verified ones are remembered by their hashes until they expire."""

    def __init__(
        self,
        issuers: Sequence[Issuer],
        keys: Mapping[str, Keys],
        *,
        clock: Clock,
        remembered: int,
    ) -> None:
        check_together(tuple(issuers))
        self._issuers = {issuer.issuer: issuer for issuer in issuers}
        self._all = tuple(issuers)
        self._keys = keys
        self._clock = clock
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()
        self._remembered = remembered

    async def verify(self, token: str) -> Principal:
        """Who this is. Raises TokenRejectedError, or KeysUnavailableError when it cannot be told now."""
        if not token or len(token) > _MAX_TOKEN or not token.isascii():
            raise TokenRejectedError("malformed")
        digest = hashlib.sha256(token.encode()).digest()
        found = self._verified.get(digest)
        if found is None or found.generation != self._keys[found.issuer].generation:
            found = await self._check(token)
            self._remember(digest, found)
        else:
            self._verified.move_to_end(digest)
            self._keys[found.issuer].refresh()
        self._check_time(found)
        return found.principal

    def _remember(self, digest: bytes, verified: _Verified) -> None:
        self._verified[digest] = verified
        self._verified.move_to_end(digest)
        while len(self._verified) > self._remembered:
            self._verified.popitem(last=False)

    def _check_time(self, verified: _Verified) -> None:
        now = self._clock.now().timestamp()
        if now < verified.not_before - LEEWAY_S:
            raise TokenRejectedError("not yet")
        if now >= verified.principal.expires_at + LEEWAY_S:
            raise TokenRejectedError("expired")

    async def _check(self, token: str) -> _Verified:
        try:
            read = jwt.decode_complete(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise TokenRejectedError("malformed") from None
        header, unverified = read["header"], read["payload"]
        issuer = self._issuers.get(unverified["iss"]) if isinstance(unverified.get("iss"), str) else None
        if issuer is None:
            raise TokenRejectedError("issuer")
        if header.get("alg") not in issuer.algorithms or "crit" in header:
            raise TokenRejectedError("algorithm")
        kid = header.get("kid")
        # The key is found by its id in the issuer's own set: `jku`, `jwk` and `x5u` in a header mean nothing.
        keys = self._keys[issuer.issuer]
        key = await keys.get(kid) if isinstance(kid, str) else None
        generation = keys.generation
        if key is None or key.algorithm != header["alg"]:
            raise TokenRejectedError("key")
        try:
            # Times are checked here by the clock of the edge, again at each use of a remembered token.
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                issuer=issuer.issuer,
                audience=list(issuer.audiences) or None,
                options={
                    "require": ["exp", "iss", "sub", *(["aud"] if issuer.audiences else [])],
                    "verify_aud": bool(issuer.audiences),
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise TokenRejectedError(type(error).__name__) from None
        if issuer.authorized_parties and claims.get("azp") not in issuer.authorized_parties:
            raise TokenRejectedError("azp")
        try:
            user = acting_user(issuer, claims, self._all)
            acting = actor(issuer, claims, self._all)
        except UnacceptableClaimsError as error:
            raise TokenRejectedError(str(error)) from None
        expires_at = _moment(claims["exp"])
        issued_at = _moment(claims.get("iat", 0))
        not_before = max(_moment(claims.get("nbf", 0)), issued_at)
        principal = Principal(user, expires_at, issued_at, acting)
        return _Verified(principal, not_before, issuer.issuer, generation)


def _moment(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TokenRejectedError("time")
    return float(value)
