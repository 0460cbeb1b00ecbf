"""Users' streams: where one stands, and what came after a cursor. Redis may be flushed at any moment."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import structlog
from redis.exceptions import RedisError, ResponseError

from edge_gateway.sockets.events import Event, stored
from servicekit.errors import ChatError, Reason
from servicekit.realtime import stream_key
from servicekit.redis_commands import RedisCommands

_PAGE = 200
"""Entries of one read, so that no other command waits long for it. Not a setting."""
_CURSOR = re.compile(r"(0|[1-9][0-9]{0,13})-(0|[1-9][0-9]{0,13})")
_log = structlog.get_logger(__name__)

_Entry = tuple[bytes, Sequence[bytes]]
"""An entry as Redis tells it: its id, and its fields' names and values in turn."""


@dataclass(frozen=True, slots=True)
class Missed:
    """What came after a cursor that still stands in its stream."""

    events: tuple[Event, ...]
    since: datetime
    """When the cursor's own event was published, by Redis' clock."""
    end: str
    """Cursor of the last entry."""


class TooFarBehindError(Exception):
    """More was missed than is replayed."""


class Streams:
    """Reads that wait no longer than `commands` does. `max_replayed`: events of one resume."""

    def __init__(self, commands: RedisCommands, *, max_replayed: int) -> None:
        self._max_replayed = max_replayed
        self._commands = commands

    async def end(self, user_id: str) -> str | None:
        """Cursor of the last event; None when there is none. Raises ChatError UNAVAILABLE."""
        last = await _read(self._commands.call("XREVRANGE", stream_key(user_id), "+", "-", "COUNT", 1))
        return last[0][0].decode("ascii") if last else None

    async def after(self, user_id: str, cursor: str) -> Missed | None:
        """Everything after `cursor`; None when that is no cursor, or its entry is gone.

        Raises TooFarBehindError, and ChatError UNAVAILABLE when Redis is away.
        """
        match = _CURSOR.fullmatch(cursor)
        if match is None:
            return None
        events: list[Event] = []
        last = cursor
        while True:
            # From the last entry on, and that one must be there: in one step with the read, because what is
            # trimmed between two steps would be a gap that nobody sees.
            page = await _read(
                self._commands.call("XRANGE", stream_key(user_id), last, "+", "COUNT", _PAGE + 1)
            )
            if not page or page[0][0].decode("ascii") != last:
                return None
            for at, fields in page[1:]:
                try:
                    events.append(stored(at, dict(zip(fields[::2], fields[1::2], strict=True))))
                except ValueError:
                    _log.error("stream_entry_unreadable", cursor=at.decode("ascii", "replace"))
            if len(events) > self._max_replayed:
                raise TooFarBehindError
            if len(page) <= _PAGE:
                since = datetime.fromtimestamp(int(match[1]) / 1000, UTC)
                return Missed(tuple(events), since, page[-1][0].decode("ascii"))
            last = page[-1][0].decode("ascii")


async def _read(answer: Awaitable[Any]) -> list[_Entry]:
    try:
        return cast("list[_Entry]", await answer)
    except (RedisError, OSError) as error:
        if isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE"):
            _log.error("stream_is_none")  # what stands there is no stream, and nothing can be missed from it
            return []
        _log.warning("stream_unreadable", error=type(error).__name__)
        raise ChatError(
            Reason.UNAVAILABLE, "Events are not available; try again.", retry_after_ms=1000
        ) from error
