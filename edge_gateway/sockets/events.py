"""Durable events on their way to a socket. Pure.

A live one arrives as `<cursor>\\n<frame without cursor>` (`Published`) and is forwarded as bytes, its cursor
spliced in behind the first brace. One that has to wait, or is read from the stream, is kept as an `Event`: it
names what it is about and holds no message's body, which is looked up when it is told. `conversation.*`
events carry no data at all: their `data` is the receiver's own view.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from edge_gateway.bodies import MAX_INTEGER
from edge_gateway.params import ID
from edge_gateway.views import Json
from servicekit.realtime import EVENT_VERSION

JOINED_TYPES = frozenset(
    {
        "conversation.requested",
        "conversation.accepted",
        "conversation.declined",
        "conversation.updated",
    }
)
"""Durable events whose `data` is joined here."""
SHOWN_TYPES = frozenset({"message.created", "message.updated"})
"""Durable events whose `data` is a message as it now stands."""

MessageRef = tuple[str, int]
"""A message's conversation and its number there."""
_JOINED_PREFIX = b'{"type":"conversation.'


@dataclass(frozen=True, slots=True)
class Event:
    """A durable event without what has to be looked up."""

    cursor: str
    name: str
    event_id: str
    version: int
    occurred_at: str
    conversation_id: str | None
    data: Json
    """Complete, unless the event is about a conversation or a message; then empty."""
    seq: int = 0
    """Of the message that it is about; else 0."""

    @property
    def conversation(self) -> str | None:
        """The conversation whose view has to be joined."""
        return self.conversation_id if self.name in JOINED_TYPES else None

    @property
    def message(self) -> MessageRef | None:
        """The message that has to be looked up."""
        if self.seq and self.conversation_id is not None:
            return self.conversation_id, self.seq
        return None

    def frame(self, data: Json) -> bytes:
        """The frame as a client gets it."""
        frame: Json = {
            "cursor": self.cursor,
            "type": self.name,
            "eventId": self.event_id,
            "eventVersion": self.version,
            "occurredAt": self.occurred_at,
        }
        if self.conversation_id is not None:
            frame["conversationId"] = self.conversation_id
        frame["data"] = data
        return orjson.dumps(frame)


@dataclass(slots=True)  # not frozen: making a frozen one costs as much as all that is done with it
class Published:
    """A durable event as it came from its channel."""

    cursor: bytes
    body: bytes

    @property
    def needs_join(self) -> bool:
        """Whether its `data` is the receiver's own view."""
        return self.body.startswith(_JOINED_PREFIX)

    def forwarded(self) -> bytes:
        """The frame as a client gets it."""
        return b'{"cursor":"' + self.cursor + b'",' + self.body[1:]

    def event(self) -> Event:
        """What has to be kept of it while it waits. ValueError when it is not an event."""
        try:
            frame = orjson.loads(self.body)
            data = frame.get("data") or {}
            name = frame["type"]
            return _event(
                self.cursor.decode("ascii"),
                name,
                frame["eventId"],
                frame["eventVersion"],
                frame["occurredAt"],
                frame.get("conversationId"),
                data["message"] if name in SHOWN_TYPES else data,
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError("not an event") from error


def published(payload: bytes) -> Published:
    """What a user's channel carried. ValueError when it is no event."""
    cursor, newline, frame = payload.partition(b"\n")
    if not newline or not frame.startswith(b'{"') or not frame.endswith(b"}"):
        raise ValueError("not an event")
    return Published(cursor, frame)


def announced(payload: bytes) -> bytes:
    """What the channel for everybody carried: a finished frame. ValueError when it is none.

    A cursor has no place in it: clients would come back with it.
    """
    frame = orjson.loads(payload)
    if not isinstance(frame, dict) or not isinstance(frame.get("type"), str) or "cursor" in frame:
        raise ValueError("not a frame for everybody")
    return payload


def stored(cursor: bytes, fields: Mapping[bytes, bytes]) -> Event:
    """An entry of a user's stream. ValueError when it is no event."""
    try:
        where = fields.get(b"conversationId")
        return _event(
            cursor.decode("ascii"),
            fields[b"type"].decode(),
            fields[b"eventId"].decode(),
            EVENT_VERSION,
            fields[b"at"].decode(),
            None if where is None else where.decode(),
            orjson.loads(fields[b"refs"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not an event") from error


def _event(cursor: str, name: Any, event_id: Any, version: Any, at: Any, where: Any, facts: Any) -> Event:
    """`facts`: the stream's refs, or what stands for them in a frame: the message, or the data.

    TypeError or ValueError also for what a service would refuse to look up, or whose time nobody can read: it
    would end each sync that comes to it.
    """
    if not (isinstance(name, str) and isinstance(event_id, str) and isinstance(facts, dict)):
        raise TypeError
    if not isinstance(version, int) or isinstance(version, bool) or datetime.fromisoformat(at).tzinfo is None:
        raise TypeError
    if name not in JOINED_TYPES and name not in SHOWN_TYPES:
        if not (where is None or isinstance(where, str)):
            raise TypeError
        orjson.dumps(facts)  # what is deep enough can be read and not be written
        return Event(cursor, name, event_id, version, at, where, facts)
    if not isinstance(where, str) or not ID.fullmatch(where):
        raise TypeError
    if name in JOINED_TYPES:
        return Event(cursor, name, event_id, version, at, where, {})
    seq = facts["seq"]
    if not isinstance(seq, int) or not 1 <= seq <= MAX_INTEGER:
        raise TypeError
    return Event(cursor, name, event_id, version, at, where, {}, seq)
