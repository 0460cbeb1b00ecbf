"""Every way to forge the credentials of a call, for tests that all of them are refused alike."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from servicekit.identity import ActingUser
from tests.support.keys import Keys

USER = ActingUser("user_1", "recruiter", org_id="org_1", display_name="Zoë")
Forgery = Callable[[Keys], str]


def service_claims(**changes: Any) -> dict[str, Any]:
    """What edge_gateway's service token says; a change to None leaves the claim out."""
    now = int(time.time())
    claims = {"iss": "edge_gateway", "aud": "splits-chat-services", "iat": now, "exp": now + 300}
    return {name: value for name, value in {**claims, **changes}.items() if value is not None}


def user_claims(**changes: Any) -> dict[str, Any]:
    """What edge_gateway's assertion of a user says; a change to None leaves the claim out."""
    now = int(time.time())
    claims = {"iss": "edge_gateway", "aud": "splits-chat-users", "iat": now, "exp": now + 60}
    return {
        name: value
        for name, value in {**claims, "sub": "user_1", "role": "recruiter", **changes}.items()
        if value is not None
    }


def sign(keys: Keys, claims: dict[str, Any], *, by: str = "edge_gateway", **headers: Any) -> str:
    """Signs claims with a service's true key."""
    return jwt.encode(claims, keys.private_key(by), algorithm="EdDSA", headers=headers)


def _foreign(claims: dict[str, Any], **headers: Any) -> str:
    return jwt.encode(claims, Ed25519PrivateKey.generate(), algorithm="EdDSA", headers=headers)


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _part(value: dict[str, Any]) -> str:
    return _encode(json.dumps(value).encode())


def _unsigned(claims: dict[str, Any], name: str) -> str:
    return f"{_part({'alg': name, 'typ': 'JWT'})}.{_part(claims)}."


def _with_public_key_as_secret(keys: Keys, claims: dict[str, Any]) -> str:
    signed = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part(claims)}"
    secret = keys.private_key("edge_gateway").public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    digest = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{_encode(digest)}"


def _altered(token: str, **changes: Any) -> str:
    header, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    return f"{header}.{_part({**claims, **changes})}.{signature}"


def _now() -> int:
    """Read when a token is made: these tables are built at import, long before some of their tests run."""
    return int(time.time())


def _common(claims: Callable[..., dict[str, Any]], lifetime: int) -> dict[str, Forgery]:
    return {
        "empty": lambda _: "",
        "garbage": lambda _: "no token at all",
        "three dots of nothing": lambda _: "..",
        "huge": lambda _: "a" * 13_000,
        "nested too deep": lambda _: f"{_part({'alg': 'EdDSA'})}.{_encode(b'[' * 8000)}.AAAA",
        "a number too long": lambda _: f"{_part({'alg': 'EdDSA'})}.{_encode(b'9' * 8000)}.AAAA",
        "expired": lambda k: sign(k, claims(iat=_now() - lifetime - 60, exp=_now() - 60)),
        "from the future": lambda k: sign(k, claims(iat=_now() + 60, exp=_now() + 60 + lifetime)),
        "living too long": lambda k: sign(k, claims(exp=_now() + lifetime + 3600)),
        "without expiry": lambda k: sign(k, claims(exp=None)),
        "without issue time": lambda k: sign(k, claims(iat=None)),
        "times as text": lambda k: sign(k, claims(iat=str(_now()), exp=str(_now() + lifetime))),
        "algorithm none": lambda _: _unsigned(claims(), "none"),
        "algorithm None": lambda _: _unsigned(claims(), "None"),
        "signed HS256 with the public key": lambda k: _with_public_key_as_secret(k, claims()),
        "unknown service": lambda k: sign(k, claims(iss="stranger")),
        "foreign key": lambda _: _foreign(claims()),
        "foreign key with kid and jku": lambda _: _foreign(claims(), kid="edge_gateway", jku="http://evil/"),
        "signed by another service": lambda k: sign(k, claims(), by="message_svc"),
        "wrong audience": lambda k: sign(k, claims(aud="somebody-else")),
        "two audiences": lambda k: sign(k, claims(aud=[claims()["aud"], "somebody-else"])),
        "without audience": lambda k: sign(k, claims(aud=None)),
        "altered after signing": lambda k: _altered(sign(k, claims()), role="admin"),
    }


SERVICE_TOKENS: dict[str, Forgery] = {
    **_common(service_claims, 300),
    "an assertion of a user": lambda k: sign(k, user_claims()),
    "issuer is no text": lambda k: _part({"alg": "EdDSA"}) + "." + _part(service_claims(iss=7)) + ".AAAA",
}

ASSERTIONS: dict[str, Forgery] = {
    **_common(user_claims, 60),
    "a service token": lambda k: sign(k, service_claims()),
    "of another service, truly signed": lambda k: k.signer("conversation_svc").assertion(USER),
    "without a person": lambda k: sign(k, user_claims(sub=None)),
    "of an empty person": lambda k: sign(k, user_claims(sub="")),
    "without a role": lambda k: sign(k, user_claims(role=None)),
    "role is a list": lambda k: sign(k, user_claims(role=["admin"])),
    "verified is no truth value": lambda k: sign(k, user_claims(org_verified="yes")),
    "name is a number": lambda k: sign(k, user_claims(display_name=7)),
}
