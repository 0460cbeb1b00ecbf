"""What is said over a socket: the edge's own frames as JSON, the client's as commands. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from edge_gateway.bodies import Fields
from edge_gateway.params import known_shape
from edge_gateway.problems import Problem, ProblemError, invalid, problem
from edge_gateway.views import Json, rfc3339
from servicekit.errors import Reason
from servicekit.ids import new_id_text

WELCOME, CAUGHT_UP, GOAWAY = "system.welcome", "system.caught_up", "system.goaway"
ACK, ERROR = "ack", "error"
OWN_TYPES = frozenset({WELCOME, CAUGHT_UP, GOAWAY, ACK, ERROR})
"""Frames that the edge makes itself."""

READ_RECEIPT, AUTH_REFRESH, MESSAGE_SEND = "read.receipt", "auth.refresh", "message.send"
TYPING_STARTED, TYPING_STOPPED = "typing.started", "typing.stopped"
PRESENCE_PING = "presence.ping"
CONVERSATION_OPEN, CONVERSATION_CLOSE = "conversation.open", "conversation.close"
CLIENT_TYPES = frozenset(
    {
        READ_RECEIPT,
        AUTH_REFRESH,
        TYPING_STARTED,
        TYPING_STOPPED,
        PRESENCE_PING,
        CONVERSATION_OPEN,
        CONVERSATION_CLOSE,
        MESSAGE_SEND,
    }
)
"""Frames that a client may send; the last is answered with where to send instead."""

ONLINE, AWAY = "online", "away"
_STATUSES = (ONLINE, AWAY)
INSTANCE = "/ws/chat"
_MAX_ID = 64


@dataclass(frozen=True, slots=True)
class ReadReceipt:
    """The client has read up to a message."""

    conversation_id: str
    last_read_seq: int


@dataclass(frozen=True, slots=True)
class AuthRefresh:
    """The client has a fresh token."""

    token: str


@dataclass(frozen=True, slots=True)
class Typing:
    """The client types, or has stopped."""

    conversation_id: str
    started: bool


@dataclass(frozen=True, slots=True)
class PresencePing:
    """The client is there. `away`: whether nobody looks at it; None = as it said last."""

    away: bool | None


@dataclass(frozen=True, slots=True)
class ConversationOpen:
    """The client has a conversation on screen."""

    conversation_id: str


@dataclass(frozen=True, slots=True)
class ConversationClose:
    """The client has it on screen no more."""

    conversation_id: str


Body = ReadReceipt | AuthRefresh | Typing | PresencePing | ConversationOpen | ConversationClose


@dataclass(frozen=True, slots=True)
class Command:
    """A client's frame, checked. `reply_to` is its `id`, for the answer."""

    reply_to: str | None
    body: Body


class FrameError(Exception):
    """A client's frame that is answered with a problem."""

    def __init__(self, reply_to: str | None, wrong: Problem) -> None:
        super().__init__(wrong.code)
        self.reply_to = reply_to
        self.problem = wrong


def parse(payload: bytes) -> Command:
    """A client's frame. Raises FrameError."""
    reply_to: str | None = None
    try:
        frame = _object(payload)
        reply_to = _reply_to(frame)
        return Command(reply_to, _body(frame))
    except ProblemError as error:
        raise FrameError(reply_to, error.problem) from None


def _object(payload: bytes) -> dict[str, Any]:
    try:
        frame = orjson.loads(payload)
    except (orjson.JSONDecodeError, RecursionError):
        raise invalid("", "json", "is not well-formed JSON in UTF-8") from None
    if not isinstance(frame, dict):
        raise invalid("", "type", "must be an object")
    return frame


def _reply_to(frame: dict[str, Any]) -> str | None:
    given = frame.get("id")
    if given is None:
        return None
    if not isinstance(given, str) or not 1 <= len(given) <= _MAX_ID:
        raise invalid("/id", "type", f"must be a string of 1 to {_MAX_ID} characters")
    return given


def _body(frame: dict[str, Any]) -> Body:
    fields = Fields(frame)
    match frame.get("type"):
        case "read.receipt":
            conversation_id = fields.text("conversationId", longest=64, required=True)
            last_read_seq = fields.integer("lastReadSeq")
            fields.finish()
            return ReadReceipt(known_shape(conversation_id), last_read_seq)
        case "typing.started":
            return Typing(_conversation(fields), started=True)
        case "typing.stopped":
            return Typing(_conversation(fields), started=False)
        case "conversation.open":
            return ConversationOpen(_conversation(fields))
        case "conversation.close":
            return ConversationClose(_conversation(fields))
        case "presence.ping":
            status = fields.choice("status", _STATUSES)
            fields.finish()
            return PresencePing(None if status == "" else status == AWAY)
        case "auth.refresh":
            token = fields.text("token", longest=8192, required=True)
            fields.finish()
            return AuthRefresh(token)
        case "message.send":
            raise ProblemError(
                problem(
                    Reason.VALIDATION_FAILED,
                    detail="Messages are sent over REST: POST /v1/conversations/{id}/messages.",
                )
            )
        case _:
            raise invalid("/type", "choice", f"must be one of {', '.join(sorted(CLIENT_TYPES))}")


def _conversation(fields: Fields) -> str:
    """Of a frame that names nothing else."""
    conversation_id = fields.text("conversationId", longest=64, required=True)
    fields.finish()
    return known_shape(conversation_id)


def event(
    name: str, data: Json, *, now: datetime, cursor: str | None = None, conversation_id: str | None = None
) -> bytes:
    """A frame of the edge's own. `cursor`: everything up to there has been told with it or before it."""
    frame: Json = {} if cursor is None else {"cursor": cursor}
    frame |= {
        "type": name,
        "eventId": new_id_text(),
        "eventVersion": 1,
        "occurredAt": rfc3339(now),
    }
    if conversation_id is not None:
        frame["conversationId"] = conversation_id
    frame["data"] = data
    return orjson.dumps(frame)


def ack(reply_to: str | None, data: Json | None = None) -> bytes:
    """Done. `data` is what changed, if the client has to know."""
    frame: Json = {"type": ACK}
    if reply_to is not None:
        frame["replyTo"] = reply_to
    if data is not None:
        frame["data"] = data
    return orjson.dumps(frame)


def error(reply_to: str | None, wrong: Problem, request_id: str) -> bytes:
    """Not done."""
    frame: Json = {"type": ERROR}
    if reply_to is not None:
        frame["replyTo"] = reply_to
    frame["problem"] = wrong.document(instance=INSTANCE, request_id=request_id)
    return orjson.dumps(frame)
