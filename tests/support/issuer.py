"""An issuer of access tokens whose keys, faults and forgeries a test commands."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

AUDIENCE = "splits-chat"
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """A fresh RSA key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def ec_key(curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    """A fresh key on P-256, or on another curve."""
    return ec.generate_private_key(curve or ec.SECP256R1())


def jwk(kid: str, key: PrivateKey, **more: object) -> dict[str, Any]:
    """The public half as a JWKS entry."""
    if isinstance(key, rsa.RSAPrivateKey):
        entry = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        entry = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**entry, "kid": kid, "use": "sig", **more}


def public_pem(key: PrivateKey) -> bytes:
    """The public half in PEM: what a confused verifier might take for a shared secret."""
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def unsigned(header: Mapping[str, object], claims: Mapping[str, object]) -> str:
    """Header and claims of a token, to be followed by a signature."""
    parts = (json.dumps(part).encode() for part in (header, claims))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def hs256(header: Mapping[str, object], claims: Mapping[str, object], secret: bytes) -> str:
    """A token signed with HMAC, by hand: a library refuses to take a public key for a secret."""
    signed = unsigned({"alg": "HS256", "typ": "JWT", **header}, claims)
    tag = hmac.digest(secret, signed.encode(), hashlib.sha256)
    return f"{signed}.{base64.urlsafe_b64encode(tag).rstrip(b'=').decode()}"


class Issuer:
    """Signs with `key` under `kid`; serves `published` as its key set."""

    def __init__(self) -> None:
        self.kid, self.key = "first", rsa_key()
        self.published: list[dict[str, Any]] = [jwk(self.kid, self.key)]
        self.fetches = 0
        self.fault: str | None = None
        """`down`, `redirect` or `garbage`."""
        self.url = "http://127.0.0.1"

    def claims(self, user_id: str = "ada", role: object = "recruiter", **more: object) -> dict[str, Any]:
        """Claims of a token that is let in; None takes a claim out."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": user_id,
            "role": role,
            "iat": now,
            "nbf": now,
            "exp": now + 600,
            "sid": "session-1",
            "name": f"{user_id} the {role}",
            **more,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def sign(self, claims: Mapping[str, Any], *, key: PrivateKey | None = None, **header: object) -> str:
        """A token with these claims, signed by the issuer or by another key."""
        signing = key or self.key
        algorithm = "RS256" if isinstance(signing, rsa.RSAPrivateKey) else "ES256"
        return jwt.encode(dict(claims), signing, algorithm, headers={"kid": self.kid, **header})

    def token(self, user_id: str = "ada", role: object = "recruiter", **more: object) -> str:
        """A token that is let in."""
        return self.sign(self.claims(user_id, role, **more))

    async def serve_keys(self, request: web.Request) -> web.Response:
        """`/.well-known/jwks.json`, and `/elsewhere` for who follows the redirect."""
        self.fetches += 1
        if self.fault == "down":
            return web.Response(status=500)
        if self.fault == "redirect" and request.path != "/elsewhere":
            return web.Response(status=302, headers={"Location": f"{self.url}/elsewhere"})
        if self.fault == "garbage":
            return web.Response(text="<html>")
        return web.json_response({"keys": self.published})


@asynccontextmanager
async def run_issuer() -> AsyncIterator[Issuer]:
    """An issuer on a port of its own."""
    issuer = Issuer()
    app = web.Application()
    app.router.add_get("/.well-known/jwks.json", issuer.serve_keys)
    app.router.add_get("/elsewhere", issuer.serve_keys)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    issuer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield issuer
    finally:
        await runner.cleanup()
