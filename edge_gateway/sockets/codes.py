"""Close codes of the contract: 4000-4499 reconnect, 4500-4999 do not."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from edge_gateway.tokens.access import Standing


class Close(IntEnum):
    """Why the edge closed a socket. The reason text in the close frame is the member's name."""

    NORMAL = 1000
    RESTART = 1012
    NO_PONG = 4000
    TOKEN_EXPIRED = 4001
    SLOW_CONSUMER = 4003
    FLOODING = 4004
    MAX_AGE = 4005
    INVALID_TOKEN = 4500
    SESSION_REVOKED = 4501
    BANNED = 4502
    PROTOCOL_ERROR = 4503
    REPLACED = 4504


NOT_LET_IN: Mapping[Standing, Close] = {
    Standing.REVOKED: Close.SESSION_REVOKED,
    Standing.BANNED: Close.BANNED,
}
"""How somebody is told over a socket that they are not let in any more."""
