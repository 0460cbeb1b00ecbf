"""A received event: a CloudEvent 1.0 in structured JSON, as `servicekit.bus` publishes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self, TypeVar
from uuid import UUID

import orjson
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message

_M = TypeVar("_M", bound=Message)


class MalformedEvent(ValueError):  # noqa: N818 - a state of the message, said as one
    """Not a CloudEvent that can be read; the text says what of it and quotes nothing."""


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """One event. Unknown attributes are left out: a later release may send more."""

    event_id: UUID
    name: str
    """Its type and version, such as `message.created.v1`."""
    source: str
    subject: str
    occurred_at: datetime
    data: Mapping[str, Any]

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Reads a message's body. MalformedEvent when it is something else."""
        try:
            fields = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise MalformedEvent("not JSON") from None
        if not isinstance(fields, dict) or fields.get("specversion") != "1.0":
            raise MalformedEvent("not a CloudEvent 1.0")
        try:
            event_id = UUID(_text(fields, "id"))
            occurred_at = datetime.fromisoformat(_text(fields, "time"))
        except ValueError:
            raise MalformedEvent("`id` or `time`") from None
        data = fields.get("data")
        if not isinstance(data, dict) or occurred_at.tzinfo is None:
            raise MalformedEvent("`data` or `time`")
        return cls(
            event_id=event_id,
            name=_text(fields, "type"),
            source=_text(fields, "source"),
            subject=_text(fields, "subject"),
            occurred_at=occurred_at,
            data=data,
        )

    def read(self, kind: type[_M]) -> _M:
        """Its data as the message that the contract names. MalformedEvent when it is another."""
        try:
            return ParseDict(dict(self.data), kind(), ignore_unknown_fields=True)
        except ParseError:
            raise MalformedEvent(f"not a {kind.DESCRIPTOR.name}") from None


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise MalformedEvent(f"`{name}`")
    return value
