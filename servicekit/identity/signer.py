"""Signs service tokens and assertions as one service."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from servicekit.clock import Clock, SystemClock
from servicekit.identity.callers import ACTING_USER, SERVICE_TOKEN, ActingUser
from servicekit.identity.lru import Lru
from servicekit.identity.tokens import (
    ALGORITHM,
    MAX_CACHED,
    RENEW_SECONDS,
    SERVICE_AUDIENCE,
    SERVICE_SECONDS,
    USER_AUDIENCE,
    USER_SECONDS,
    USERS_AUDIENCE,
)
from servicekit.runner import StartError

_FIELDS = fields(ActingUser)[1:]


class Signer:
    """Signs as one service."""

    def __init__(self, name: str, key: Ed25519PrivateKey, *, clock: Clock | None = None) -> None:
        self.name = name
        self._key = key
        self._clock = clock or SystemClock()
        self._token: tuple[str, float] | None = None
        self._assertions: Lru[ActingUser, str] = Lru(MAX_CACHED)

    @classmethod
    def from_file(cls, name: str, path: Path, *, clock: Clock | None = None) -> Self:
        """Reads an Ed25519 private key in PEM; StartError when it is missing or something else."""
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except OSError as error:
            raise StartError(f"service key {path}: {error.strerror}") from error
        except (ValueError, TypeError) as error:
            raise StartError(f"service key {path}: not a private key in PEM") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise StartError(f"service key {path}: not an Ed25519 key")
        return cls(name, key, clock=clock)

    def service_token(self) -> str:
        """A token that proves this service for at least 30 s more."""
        now = self._clock.now().timestamp()
        if self._token is None or self._token[1] <= now:
            claims = {"aud": SERVICE_AUDIENCE, "iat": int(now), "exp": int(now) + SERVICE_SECONDS}
            self._token = (self._sign(claims), now + SERVICE_SECONDS - RENEW_SECONDS)
        return self._token[0]

    def assertion(self, user: ActingUser) -> str:
        """An assertion that this service acts for `user`, good for at least 30 s more."""
        now = self._clock.now().timestamp()
        known = self._assertions.get(user, now)
        if known is not None:
            return known
        claims: dict[str, Any] = {"aud": USER_AUDIENCE, "iat": int(now), "exp": int(now) + USER_SECONDS}
        token = self._sign(claims | _claims_of(user))
        self._assertions.put(user, token, now + USER_SECONDS - RENEW_SECONDS)
        return token

    def assertion_together(self, users: Sequence[ActingUser]) -> str:
        """One assertion that this service acts for all of `users` (at most MAX_USERS), good for a minute."""
        now = int(self._clock.now().timestamp())
        claims = {"aud": USERS_AUDIENCE, "iat": now, "exp": now + USER_SECONDS}
        return self._sign({**claims, "users": [_claims_of(user) for user in users]})

    def _sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"iss": self.name, **claims}, self._key, algorithm=ALGORITHM)


def _claims_of(user: ActingUser) -> dict[str, Any]:
    claims: dict[str, Any] = {"sub": user.user_id}
    for field in _FIELDS:
        value = getattr(user, field.name)
        if value != field.default:
            claims[field.name] = value
    return claims


def call_metadata(signer: Signer, acting: ActingUser | str | None = None) -> list[tuple[str, str]]:
    """Credentials of one call, for any gRPC client. `acting` may be an assertion made earlier."""
    metadata = [(SERVICE_TOKEN, signer.service_token())]
    if acting is not None:
        metadata.append((ACTING_USER, acting if isinstance(acting, str) else signer.assertion(acting)))
    return metadata
