"""An issuer's public keys, fetched and kept.

A key that is not known makes a refetch, at most one in `refetch_s`, whoever asks (while nothing was ever had:
in `first_retry_s`). Keys older than `refresh_s` are fetched anew in the background, so that a key its issuer
withdrew goes. The last good set survives any outage. Redirects are refused: they would let another host
answer for the issuer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import jwt
import orjson
import structlog
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

PublicKey = RSAPublicKey | EllipticCurvePublicKey

_MAX_BYTES = 256 * 1024
_MIN_RSA_BITS = 2048
"""Neither is a setting: a key set has some KB, and a shorter key is none."""
_log = structlog.get_logger(__name__)


class KeysUnavailableError(Exception):
    """No set of keys was ever had: nothing can be said about a token now."""


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key and the one algorithm it is good for: the type of the key decides, never the token."""

    algorithm: str
    key: PublicKey


class Keys(Protocol):
    """Keys of one issuer."""

    generation: int
    """Rises when a known key changed or went: what was verified before counts no more."""

    async def get(self, kid: str) -> VerifyingKey | None: ...

    def refresh(self) -> None:
        """Called at each use, also of what was verified before: the chance to see to keys that grow old."""


class RemoteKeys:
    """Keys at a URL. One per issuer."""

    def __init__(
        self,
        url: str,
        session: aiohttp.ClientSession,
        *,
        timeout_s: float = 3.0,
        refetch_s: float = 30.0,
        first_retry_s: float = 2.0,
        refresh_s: float = 600.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.generation = 0
        self._url = url
        self._session = session
        self._timeout_s = timeout_s
        self._refetch_s = refetch_s
        self._first_retry_s = first_retry_s
        self._refresh_s = refresh_s
        self._monotonic = monotonic
        self._keys: Mapping[str, VerifyingKey] | None = None
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def get(self, kid: str) -> VerifyingKey | None:
        """The key, or None when the issuer has no such key. Raises KeysUnavailableError."""
        self.refresh()
        keys, now = self._keys, self._monotonic()
        if keys is not None and kid in keys:
            return keys[kid]
        wait_s = self._first_retry_s if keys is None else self._refetch_s
        if self._fetching is not None or now - self._tried_at >= wait_s:
            await asyncio.shield(self._begin_fetch())
        if self._keys is None:
            raise KeysUnavailableError(self._url)
        return self._keys.get(kid)

    def refresh(self) -> None:
        """Begins a fetch in the background when the keys are old."""
        now = self._monotonic()
        old = self._keys is not None and now - self._fetched_at >= self._refresh_s
        if old and now - self._tried_at >= self._refetch_s:
            self._begin_fetch()

    def warm(self) -> None:
        """Begins the first fetch, so that the first caller need not wait for it."""
        self._begin_fetch()

    async def close(self) -> None:
        """Ends a fetch that is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    def _begin_fetch(self) -> asyncio.Task[None]:
        if self._fetching is None:
            self._tried_at = self._monotonic()
            self._fetching = asyncio.create_task(self._fetch(), name=f"jwks {self._url}")
            self._fetching.add_done_callback(self._fetched)
        return self._fetching

    def _fetched(self, _task: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _fetch(self) -> None:
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._session.get(self._url, allow_redirects=False) as response,
            ):
                if response.status != 200:
                    raise ValueError(f"status {response.status}")
                body = await response.content.read(_MAX_BYTES + 1)
                while len(body) <= _MAX_BYTES and (more := await response.content.read(_MAX_BYTES)):
                    body += more
            keys = parse(body)
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            _log.warning("jwks_fetch_failed", url=self._url, error=f"{type(error).__name__}: {error}")
            return
        if self._keys is not None and any(keys.get(kid) != key for kid, key in self._keys.items()):
            self.generation += 1
        self._keys = keys
        self._fetched_at = self._monotonic()


def parse(body: bytes) -> dict[str, VerifyingKey]:
    """The usable keys of a JWKS document, by `kid`. ValueError when it is none or holds no usable key."""
    if len(body) > _MAX_BYTES:
        raise ValueError("too large")
    document: Any = orjson.loads(body)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("not a key set")
    keys = {}
    for entry in entries:
        if (
            isinstance(entry, dict)
            and isinstance(entry.get("kid"), str)
            and entry.get("use", "sig") == "sig"
            and (key := _key(entry)) is not None
        ):
            keys[entry["kid"]] = key
    if not keys:
        raise ValueError("no usable key")
    return keys


def _key(entry: dict[str, Any]) -> VerifyingKey | None:
    algorithm = {"RSA": "RS256", "EC": "ES256"}.get(str(entry.get("kty")))
    if algorithm is None or entry.get("alg", algorithm) != algorithm:
        return None
    try:
        key = jwt.PyJWK(entry, algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if isinstance(key, RSAPublicKey) and key.key_size >= _MIN_RSA_BITS:
        return VerifyingKey(algorithm, key)
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return VerifyingKey(algorithm, key)
    return None
