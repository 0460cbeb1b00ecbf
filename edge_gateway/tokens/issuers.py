"""Whose tokens are taken, and what their claims say about a person. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from servicekit.identity import ActingUser

Role = Literal["recruiter", "company", "candidate", "moderator", "admin"]
Algorithm = Literal["RS256", "ES256"]

_USER_ID = re.compile(r"[!-~]{1,200}")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CLAIMS: Mapping[str, tuple[str, ...]] = {
    "role": ("role", "metadata.role", "public_metadata.role"),
    "org_id": ("org_id", "o.id"),
    "org_name": ("org_name", "o.nam", "org_slug", "o.slg"),
    "org_verified": ("org_verified", "o.verified"),
    "display_name": ("name", "full_name", "display_name"),
    "avatar_url": ("picture", "image_url", "avatar_url"),
    "session_id": ("sid",),
    "email": ("email",),
}


class Issuer(BaseModel):
    """One issuer of JWT_ISSUERS. Field names there may be camelCase or snake_case."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    issuer: str = Field(min_length=1)
    """The `iss` claim, exactly."""
    jwks_url: str = ""
    """Where its keys are; by default `<issuer>/.well-known/jwks.json`. https, or http on loopback."""
    audiences: tuple[str, ...] = ()
    """`aud` must hold one of these."""
    authorized_parties: tuple[str, ...] = ()
    """`azp` must be one of these."""
    algorithms: tuple[Algorithm, ...] = ("RS256", "ES256")
    roles: tuple[Role, ...] = ("recruiter", "company", "candidate")
    """Roles it may give. A token with any other is refused."""
    user_id_prefix: str = Field(default="", max_length=64, pattern=r"^[!-~]*$")
    """Put before `sub`, so that the same `sub` of two issuers is two people."""
    claims: dict[str, tuple[str, ...]] = {}
    """Other places for what a token says, e.g. {"role": ["metadata.chat_role"]}; first one found counts."""

    @field_validator("claims")
    @classmethod
    def _known_claims(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        if unknown := set(value) - set(_CLAIMS):
            raise ValueError(f"unknown claims {sorted(unknown)}; known: {sorted(_CLAIMS)}")
        return value

    @model_validator(mode="after")
    def _safe(self) -> Issuer:
        if not self.audiences and not self.authorized_parties:
            raise ValueError(
                "name audiences or authorizedParties: a token made for others must not open this"
            )
        url = urlsplit(self.keys_url)
        if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(url.hostname or "")):
            raise ValueError(f"keys must come over https (or from loopback), not from {self.keys_url}")
        return self

    @property
    def keys_url(self) -> str:
        return self.jwks_url or f"{self.issuer.rstrip('/')}/.well-known/jwks.json"


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who acts in another person's name."""

    user_id: str
    """As it is theirs in a token of their own."""
    session_id: str | None
    """The session that they themself are signed in with; None when the token does not say."""


class UnacceptableClaimsError(Exception):
    """The token is genuine, but does not say who this is in a way that is let in."""


def check_together(issuers: tuple[Issuer, ...]) -> None:
    """Raises ValueError when two issuers could name the same person."""
    names = [issuer.issuer for issuer in issuers]
    prefixes = [issuer.user_id_prefix for issuer in issuers]
    if len(set(names)) != len(names):
        raise ValueError("each issuer can be named once")
    if len(set(prefixes)) != len(prefixes):
        raise ValueError("issuers need different userIdPrefix values: the same sub would be one person")


def acting_user(issuer: Issuer, claims: Mapping[str, Any], others: tuple[Issuer, ...]) -> ActingUser:
    """The person that verified claims name. Raises UnacceptableClaimsError."""
    subject = claims.get("sub")
    user_id = _user_id(issuer, subject, others) if isinstance(subject, str) and subject else ""
    if not _USER_ID.fullmatch(user_id):
        raise UnacceptableClaimsError("sub")
    acting = actor(issuer, claims, others)
    role = _find(issuer, claims, "role")
    if role not in issuer.roles:
        raise UnacceptableClaimsError("role")
    avatar = _text(_find(issuer, claims, "avatar_url"), longest=2000)
    return ActingUser(
        user_id=user_id,
        role=str(role),
        org_id=_text(_find(issuer, claims, "org_id")),
        org_name=_text(_find(issuer, claims, "org_name")),
        org_verified=_find(issuer, claims, "org_verified") is True,
        display_name=_text(_find(issuer, claims, "display_name")) or _given_names(claims) or "",
        avatar_url=avatar if avatar and avatar.startswith("https://") else None,
        session_id=_text(_find(issuer, claims, "session_id")),
        # Any `act` at all makes a token read-only.
        impersonator=None if claims.get("act") is None else "unknown" if acting is None else acting.user_id,
        email=_text(_find(issuer, claims, "email"), longest=255),  # one more than an address has
    )


def actor(issuer: Issuer, claims: Mapping[str, Any], others: tuple[Issuer, ...]) -> Actor | None:
    """Who acts in this person's name (RFC 8693 `act`); None when nobody does, or it is not said who.

    Actors before that one (an `act` in the `act`) are information only, says the RFC. An actor is of the
    issuer that `act` names, where that is one of ours, else of the token's own. Raises
    UnacceptableClaimsError.
    """
    act = claims.get("act")
    subject = _text(act.get("sub")) if isinstance(act, Mapping) else None
    if not isinstance(act, Mapping) or subject is None:
        return None
    own = next((other for other in others if other.issuer == act.get("iss")), issuer)
    return Actor(_user_id(own, subject, others), _text(_find(own, act, "session_id")))


def _user_id(issuer: Issuer, subject: str, others: tuple[Issuer, ...]) -> str:
    """The id here of an issuer's subject. Raises UnacceptableClaimsError."""
    user_id = f"{issuer.user_id_prefix}{subject}"
    for other in others:
        # "a:1" of an issuer without prefix must not become "1" of the issuer with prefix "a:".
        longer = len(other.user_id_prefix) > len(issuer.user_id_prefix)
        if longer and user_id.startswith(other.user_id_prefix):
            raise UnacceptableClaimsError("sub in another issuer's range")
    return user_id


def _find(issuer: Issuer, claims: Mapping[str, Any], what: str) -> Any:
    for path in issuer.claims.get(what, _CLAIMS[what]):
        value: Any = claims
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None:
            return value
    return None


def _given_names(claims: Mapping[str, Any]) -> str | None:
    names = [_text(claims.get("given_name")), _text(claims.get("family_name"))]
    return _text(" ".join(name for name in names if name))


def _text(value: Any, longest: int = 200) -> str | None:
    """A shown text, made harmless: no control characters, no lone surrogates, not too long."""
    if not isinstance(value, str):
        return None
    clean = _CONTROLS.sub("", value.encode("utf-8", "ignore").decode()).strip()[:longest]
    return clean or None


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
