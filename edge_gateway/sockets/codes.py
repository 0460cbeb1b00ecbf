"""Close codes of the contract: 4000-4499 reconnect, 4500-4999 do not."""

from __future__ import annotations

from enum import IntEnum


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
    PROTOCOL_ERROR = 4503
    REPLACED = 4504
