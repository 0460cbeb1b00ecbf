"""What is told once and kept nowhere: who is here, who types. Pure.

A presence channel carries finished `presence.updated` frames, which are forwarded as they are. The channel of
a conversation carries `<JSON list of user ids>\\n<frame>`, a `typing.*` frame for those people only.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from edge_gateway.views import Json

PRESENCE_UPDATED = "presence.updated"
TYPING_STARTED, TYPING_STOPPED = "typing.started", "typing.stopped"
EPHEMERAL_TYPES = frozenset({PRESENCE_UPDATED, TYPING_STARTED, TYPING_STOPPED})
"""What a socket is told of the conversations that it has open."""
_PRESENCE = b'{"type":"presence.updated",'


def gone(user_id: str) -> Json:
    """`Presence` of somebody who is not to be seen any more: as of one who is away for good."""
    return {"userId": user_id, "status": "offline", "lastSeenAt": None}


@dataclass(frozen=True, slots=True)
class Typed:
    """Somebody started to type, still types, or stopped."""

    people: frozenset[str]
    """Who may know."""
    user_id: str
    started: bool
    frame: bytes


def typed(payload: bytes) -> Typed:
    """What a conversation's channel carried. ValueError when it is nothing of ours."""
    try:
        people, newline, frame = payload.partition(b"\n")
        named = orjson.loads(people)
        told = orjson.loads(frame)
        user_id, name = told["data"]["userId"], told["type"]
        if not newline or not isinstance(user_id, str) or name not in (TYPING_STARTED, TYPING_STOPPED):
            raise TypeError
        if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
            raise TypeError
        return Typed(frozenset(named), user_id, name == TYPING_STARTED, frame)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("nothing about typing") from error


def presence(payload: bytes) -> bytes:
    """What a presence channel carried: a finished frame. ValueError when it is none."""
    if not payload.startswith(_PRESENCE) or not payload.endswith(b"}"):
        raise ValueError("nothing about presence")
    return payload
