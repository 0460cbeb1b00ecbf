"""Verifies service tokens and assertions against the keys of services that are believed."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from servicekit.clock import Clock, SystemClock
from servicekit.errors import unauthenticated
from servicekit.identity.callers import CALLER_KINDS, ActingUser, Caller
from servicekit.identity.lru import Lru
from servicekit.identity.tokens import (
    ALGORITHM,
    MAX_CACHED,
    MAX_CHARS,
    MAX_USERS,
    SERVICE_AUDIENCE,
    SERVICE_SECONDS,
    SKEW_SECONDS,
    USER_AUDIENCE,
    USER_SECONDS,
    USERS_AUDIENCE,
)
from servicekit.runner import StartError

# PyJWT lets through what JSON raises on numbers and nesting made to hurt.
_MALFORMED = (jwt.PyJWTError, ValueError, RecursionError)


@dataclass(frozen=True, slots=True)
class _TrustedKey:
    caller: Caller
    acts_for_users: bool
    key: Ed25519PublicKey


class Trust:
    """The services that are believed, by their public keys.

    The file: `{"keys": [{"service": "edge_gateway", "caller": "edge", "acts_for_users": true,
    "public_key": "<base64 of the 32 raw bytes>"}]}`. A service may have several keys while one replaces
    another.
    """

    def __init__(self, keys: Sequence[_TrustedKey], *, clock: Clock | None = None) -> None:
        self._keys: dict[str, list[_TrustedKey]] = {}
        for key in keys:
            self._keys.setdefault(key.caller.service, []).append(key)
        self._clock = clock or SystemClock()
        self._callers: Lru[bytes, Caller] = Lru(MAX_CACHED)
        self._users: Lru[tuple[str, bytes], ActingUser] = Lru(MAX_CACHED)

    @classmethod
    def from_file(cls, path: Path, *, clock: Clock | None = None) -> Self:
        """Reads the trust file; StartError when it is missing or anything in it is not as it must be."""
        try:
            entries = json.loads(path.read_bytes())["keys"]
            keys = [_trusted_key(entry) for entry in entries]
        except OSError as error:
            raise StartError(f"trust file {path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise StartError(f"trust file {path}: {error!r}") from error
        return cls(keys, clock=clock)

    def verify_service(self, token: str | None) -> Caller:
        """The caller that a service token proves; UNAUTHENTICATED otherwise."""
        now, digest = self._clock.now().timestamp(), _digest(token)
        known = self._callers.get(digest, now)
        if known is not None:
            return known
        claims, key = self._verify(token, SERVICE_AUDIENCE, SERVICE_SECONDS, now, self._candidates(token))
        self._callers.put(digest, key.caller, claims["exp"] + SKEW_SECONDS)
        return key.caller

    def verify_assertion(self, assertion: str | None, caller: Caller) -> ActingUser:
        """The person that `caller` itself asserts to act for; UNAUTHENTICATED otherwise."""
        now, digest = self._clock.now().timestamp(), (caller.service, _digest(assertion))
        known = self._users.get(digest, now)
        if known is not None:
            return known
        keys = [key for key in self._keys.get(caller.service, ()) if key.acts_for_users]
        claims, _ = self._verify(assertion, USER_AUDIENCE, USER_SECONDS, now, keys)
        user = _user_of(claims)
        self._users.put(digest, user, claims["exp"] + SKEW_SECONDS)
        return user

    def verify_assertion_together(self, assertion: str | None, caller: Caller) -> list[ActingUser]:
        """The people that `caller` itself asserts to act for, in their order; UNAUTHENTICATED otherwise."""
        now = self._clock.now().timestamp()
        keys = [key for key in self._keys.get(caller.service, ()) if key.acts_for_users]
        limit = MAX_USERS * MAX_CHARS
        claims, _ = self._verify(assertion, USERS_AUDIENCE, USER_SECONDS, now, keys, limit)
        users = claims.get("users")
        if not isinstance(users, list) or not 1 <= len(users) <= MAX_USERS:
            raise unauthenticated()
        return [_user_of(each) for each in users]

    def _candidates(self, token: str | None) -> Sequence[_TrustedKey]:
        try:
            claims = jwt.decode(_bounded(token), options={"verify_signature": False})
        except _MALFORMED:
            return ()
        issuer = claims.get("iss")
        return self._keys.get(issuer, ()) if isinstance(issuer, str) else ()

    @staticmethod
    def _verify(
        token: str | None,
        audience: str,
        lifetime: int,
        now: float,
        keys: Sequence[_TrustedKey],
        limit: int = MAX_CHARS,
    ) -> tuple[dict[str, Any], _TrustedKey]:
        for key in keys:
            try:
                claims = jwt.decode(
                    _bounded(token, limit),
                    key.key,
                    algorithms=[ALGORITHM],
                    audience=audience,
                    issuer=key.caller.service,
                    # Times are checked below, by the same clock that the tests turn.
                    options={
                        "require": ["iss", "aud", "iat", "exp"],
                        "strict_aud": True,
                        "verify_exp": False,
                        "verify_iat": False,
                        "verify_nbf": False,
                    },
                )
            except _MALFORMED:
                continue
            if _timely(claims, lifetime, now):
                return claims, key
        raise unauthenticated()


def _timely(claims: Mapping[str, Any], lifetime: int, now: float) -> bool:
    issued, expires = claims["iat"], claims["exp"]
    if type(issued) is not int or type(expires) is not int:
        return False
    return issued <= now + SKEW_SECONDS and expires > now - SKEW_SECONDS and 0 < expires - issued <= lifetime


def _user_of(claims: object) -> ActingUser:
    if not isinstance(claims, Mapping):
        raise unauthenticated()
    values: dict[str, Any] = {"user_id": claims.get("sub"), "role": claims.get("role")}
    if not all(isinstance(value, str) and value for value in values.values()):
        raise unauthenticated()
    for field in fields(ActingUser)[2:]:
        if field.name in claims:
            value = claims[field.name]
            if not isinstance(value, bool if field.name == "org_verified" else str):
                raise unauthenticated()
            values[field.name] = value
    return ActingUser(**values)


def _bounded(token: str | None, limit: int = MAX_CHARS) -> str:
    if not token or len(token) > limit or not token.isascii():
        raise jwt.DecodeError
    return token


def _digest(token: str | None) -> bytes:
    if not token:
        raise unauthenticated()
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


def _trusted_key(entry: Mapping[str, Any]) -> _TrustedKey:
    service, kind, acts = entry["service"], entry["caller"], entry["acts_for_users"]
    if not isinstance(service, str) or not service:
        raise ValueError("`service` must be a name")
    if kind not in CALLER_KINDS.values():
        raise ValueError(f"unknown caller kind {kind!r} of {service}")
    if not isinstance(acts, bool):
        raise TypeError("`acts_for_users` must be true or false")
    raw = base64.b64decode(entry["public_key"], validate=True)
    return _TrustedKey(Caller(service, kind), acts, Ed25519PublicKey.from_public_bytes(raw))
