"""Events to sockets: appended to each recipient's Redis Stream and published on their channel.

Key `{u:<user id>}`, channel `u:<user id>`. A stream entry holds ids: `type`, `eventId`, `at`, `refs`
(JSON) and `conversationId` unless there is none. The channel's payload is `<cursor>\\n<frame>`, where the
cursor is the entry's id and the frame is JSON, complete but for the cursor:

    {"type", "eventId", "eventVersion": 1, "occurredAt", "conversationId"?, "data"?}

The frame is encoded once an event, and sent once to Redis for up to 64 recipients; see `lua/publish.lua` for
what makes entry and frame one step.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from servicekit.outbox.events import RealtimeEvent, Refused, SinkUnavailable, rfc3339, uuid_text
from servicekit.outbox.spans import publish_spans
from servicekit.redis_commands import RedisCommands, Script, Word, pack

EVENT_VERSION = 1
EVERYBODY = "all"
"""The channel that every edge listens on: its payload is a finished frame without a cursor, for all sockets.

Nothing keeps it: it is for who is there now, and may be left out for a reader that is behind.
"""
_SCRIPT = Script((Path(__file__).parent / "lua" / "publish.lua").read_text())
_PIPELINE_CALLS = 1000
_RECIPIENTS_A_CALL = 64
"""Redis does nothing else during a call, which is half a millisecond for so many. More are several calls."""


def stream_key(user_id: str) -> str:
    """The user's stream."""
    return f"{{u:{user_id}}}"


def channel(user_id: str) -> str:
    """The channel that the user's sockets listen on."""
    return f"u:{user_id}"


def presence_channel(user_id: str) -> str:
    """The channel that carries somebody's presence: `presence.updated` frames, finished, without a cursor.

    Who listens has asked whether they may see it.
    """
    return f"presence:{user_id}"


def conversation_channel(conversation_id: str) -> str:
    """The channel that carries who types in a conversation: `<JSON list of user ids>\\n<frame>`.

    The frame is finished and without a cursor; it is for those people and for nobody else who listens.
    """
    return f"conv:{conversation_id}"


def encode_frame(event: RealtimeEvent) -> bytes:
    """The frame without its cursor. TypeError when `data` is not JSON."""
    frame: dict[str, Any] = {
        "type": event.name,
        "eventId": event.event_id,
        "eventVersion": EVENT_VERSION,
        "occurredAt": rfc3339(event.occurred_at),
    }
    if event.conversation_id is not None:
        frame["conversationId"] = event.conversation_id
    if event.data is not None:
        frame["data"] = event.data
    return orjson.dumps(frame)


@lru_cache(maxsize=4096)
def _addressed(user_id: str) -> bytes:
    """The recipient's key, packed: who is written to is written to again."""
    return pack(stream_key(user_id)).partition(b"\r\n")[2]


@lru_cache(maxsize=256)
def _head(keys: int, args: int) -> bytes:
    """How an EVALSHA of so many keys and arguments begins, packed."""
    return b"*%d\r\n" % (3 + keys + args) + pack("EVALSHA", _SCRIPT.sha, keys).partition(b"\r\n")[2]


class RealtimePublisher:
    """Publishes to Redis. A connection is made when first needed and again whenever it broke.

    `max_len` bounds each stream's entries (approximately), `max_age_s` their age (to one in a hundred); a
    stream without events goes a day later. `timeout_s` bounds each pipeline, the time to connect included.
    ValueError when `redis_url` is none that redis-py would take.
    """

    def __init__(
        self, redis_url: str, *, max_len: int = 1000, max_age_s: int = 7 * 86_400, timeout_s: float = 5.0
    ) -> None:
        self._redis_url = redis_url
        self._timeout_s = timeout_s
        self._idle = [self._new()]
        """Whoever publishes has a connection to itself: where it gives up, its events go with it."""
        self._limits = (max_len, max_age_s * 1000, max_age_s + 86_400)

    async def publish(self, events: Sequence[RealtimeEvent]) -> Refused:
        """Publish in the given order. Raises SinkUnavailable when Redis is away, full or not writable.

        An event is refused when it cannot be encoded. What is no stream in a stream's place is removed.
        Cancelled, nothing more of it is sent.
        """
        with publish_spans("publish realtime", events):
            refused: dict[UUID, str] = {}
            calls: list[bytes] = []
            for event in events:
                try:
                    calls += self._calls(event)
                except TypeError as error:
                    refused[event.event_id] = type(error).__name__
            for start in range(0, len(calls), _PIPELINE_CALLS):
                await self._send(calls[start : start + _PIPELINE_CALLS])
            return refused

    async def close(self) -> None:
        """Close the connections."""
        while self._idle:
            self._idle.pop().close()

    def _new(self) -> RedisCommands:
        return RedisCommands(self._redis_url, timeout_s=self._timeout_s)

    def _calls(self, event: RealtimeEvent) -> list[bytes]:
        """The EVALSHA for all recipients, packed, or several where they are many; nothing is packed twice."""
        fields: list[Word] = ["type", event.name, "eventId", uuid_text(event.event_id)]
        fields += ["at", rfc3339(event.occurred_at), "refs", orjson.dumps(event.refs)]
        if event.conversation_id is not None:
            fields += ["conversationId", uuid_text(event.conversation_id)]
        common = (*self._limits, encode_frame(event), *fields)
        tail = pack(*common).partition(b"\r\n")[2]  # without the number of arguments
        users = event.recipients
        companies = [users[at : at + _RECIPIENTS_A_CALL] for at in range(0, len(users), _RECIPIENTS_A_CALL)]
        return [b"".join((_head(len(some), len(common)), *map(_addressed, some), tail)) for some in companies]

    async def _send(self, calls: list[bytes]) -> None:
        commands = self._idle.pop() if self._idle else self._new()
        stood = commands.connected
        try:
            try:
                await _run(commands, calls)
            except RedisConnectionError:
                if not stood:
                    raise
                # It may have died with the Redis before this one: once more, on a new connection.
                await _run(commands, calls)
        except (RedisError, OSError) as error:
            commands.close()
            raise SinkUnavailable(f"redis: {type(error).__name__}") from error
        except BaseException:
            commands.close()  # nobody waits for it: what was not sent yet must not be
            raise
        self._idle.append(commands)


async def _run(commands: RedisCommands, calls: list[bytes]) -> None:
    if not commands.connected:
        # A Redis that was restarted may know no script, and everybody comes back to it at once: where another
        # loads it in the midst of the calls, the first of them would be run after the last.
        await commands.call("SCRIPT", "LOAD", _SCRIPT.source)
    await commands.run_packed(_SCRIPT, calls)
