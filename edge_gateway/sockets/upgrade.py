"""The HTTP side of a WebSocket handshake (RFC 6455, 4.2). Pure: headers in, a decision out."""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from edge_gateway import problems
from servicekit.errors import Reason

PROTOCOL = "chat.v1"
_BEARER = "bearer."
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass(slots=True)
class Upgrade:
    """A handshake that is well-formed and comes from where it may."""

    token: str
    """ "" when none was given."""
    headers: dict[str, str]
    """Of the 101 answer."""


def read(headers: Mapping[str, str], origins: Collection[str], *, may_upgrade: bool = True) -> Upgrade:
    """The handshake in a request's headers (a case-insensitive mapping).

    `may_upgrade`: whether method and version are those of one.
    Raises ProblemError: 403 for a page that is not allowed, 400 for what is no handshake.
    """
    authorization = headers.get("Authorization")
    _check_origin(headers.get("Origin"), authorization, origins)
    offered = [part.strip() for part in headers.get("Sec-WebSocket-Protocol", "").split(",") if part.strip()]
    key = headers.get("Sec-WebSocket-Key", "")
    if (
        not may_upgrade
        # What stands behind its head are frames.
        or headers.get("Content-Length", "0").strip() != "0"
        or "Transfer-Encoding" in headers
        or headers.get("Upgrade", "").strip().lower() != "websocket"
        or "upgrade" not in [part.strip().lower() for part in headers.get("Connection", "").split(",")]
        or headers.get("Sec-WebSocket-Version", "").strip() != "13"
        or not _is_key(key)
        or (offered and PROTOCOL not in offered)
    ):
        wrong = problems.problem(
            Reason.VALIDATION_FAILED,
            detail=f"This is a WebSocket address: upgrade with version 13 and the subprotocol {PROTOCOL}.",
        )
        raise problems.ProblemError(wrong)
    answer = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": _accept(key),
    }
    if offered:
        answer["Sec-WebSocket-Protocol"] = PROTOCOL
    return Upgrade(_token(authorization, offered), answer)


def _check_origin(origin: str | None, authorization: str | None, origins: Collection[str]) -> None:
    # Only a browser sends an Origin, and no page can leave it out or set `Authorization` on a socket.
    allowed = authorization is not None if origin is None else origin in origins
    if not allowed:
        raise problems.failure(Reason.FORBIDDEN, detail="This origin is not allowed.")


def _token(authorization: str | None, offered: list[str]) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return next((part.removeprefix(_BEARER) for part in offered if part.startswith(_BEARER)), "")


def _is_key(key: str) -> bool:
    try:
        return len(binascii.a2b_base64(key, strict_mode=True)) == 16
    except (binascii.Error, ValueError):
        return False


def _accept(key: str) -> str:
    digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    return binascii.b2a_base64(digest, newline=False).decode()
