"""Events to sockets: appended to each recipient's Redis Stream and published on their channel.

Key `{u:<user id>}`, channel `u:<user id>`. A stream entry holds ids: `type`, `eventId`, `at`, `refs`
(JSON) and `conversationId` unless there is none. The channel's payload is `<cursor>\\n<frame>`, where the
cursor is the entry's id and the frame is JSON, complete but for the cursor:

    {"type", "eventId", "eventVersion": 1, "occurredAt", "conversationId"?, "data"?}

The frame is encoded once an event; see `lua/publish.lua` for what makes the two one step.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import hiredis
import orjson
import redis.asyncio as redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from servicekit.outbox.events import RealtimeEvent, Refused, SinkUnavailable, rfc3339
from servicekit.outbox.spans import publish_spans

EVENT_VERSION = 1
EVERYBODY = "all"
"""The channel that every edge listens on: its payload is a finished frame without a cursor, for all sockets.

Nothing keeps it: it is for who is there now, and may be left out for a reader that is behind.
"""
_SCRIPT = (Path(__file__).parent / "lua" / "publish.lua").read_bytes()
_SHA = hashlib.sha1(_SCRIPT, usedforsecurity=False).hexdigest()
_pack: Callable[[tuple[Any, ...]], bytes] = hiredis.pack_command
_EVALSHA = _pack(("EVALSHA", _SHA, 1)).partition(b"\r\n")[2]
_PIPELINE_CALLS = 1000


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


def _bulk(text: str) -> bytes:
    """An argument as Redis' protocol has it."""
    data = text.encode()
    return b"$%d\r\n%b\r\n" % (len(data), data)


class RealtimePublisher:
    """Publishes to Redis. A connection is made when first needed and again whenever it broke.

    `max_len` bounds each stream's entries (approximately), `max_age_s` their age (to one in a hundred); a
    stream without events goes a day later. `timeout_s` bounds connecting, and each pipeline.

    The connections are redis-py's, for what it knows of URLs, TLS and signing in. Its pipeline objects are
    not used: they cost more than twice what writing and reading costs.
    """

    def __init__(
        self, redis_url: str, *, max_len: int = 1000, max_age_s: int = 7 * 86_400, timeout_s: float = 5.0
    ) -> None:
        self._connections = redis.ConnectionPool.from_url(
            redis_url,
            socket_connect_timeout=timeout_s,
            socket_timeout=None,
            retry=Retry(NoBackoff(), 0),
        )
        self._idle: list[AbstractConnection] = []
        self._timeout_s = timeout_s
        self._limits = (max_len, max_age_s * 1000, max_age_s + 86_400)

    async def publish(self, events: Sequence[RealtimeEvent]) -> Refused:
        """Publish in the given order. Raises SinkUnavailable when Redis is away, full or not writable.

        An event is refused when it cannot be encoded. What is no stream in a stream's place is removed.
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
            await self._idle.pop().disconnect()

    def _calls(self, event: RealtimeEvent) -> list[bytes]:
        """The EVALSHA of each recipient, packed; what they have in common is packed once."""
        fields: list[Any] = ["type", event.name, "eventId", str(event.event_id)]
        fields += ["at", rfc3339(event.occurred_at), "refs", orjson.dumps(event.refs)]
        if event.conversation_id is not None:
            fields += ["conversationId", str(event.conversation_id)]
        common = (*self._limits, encode_frame(event), *fields)
        tail = _pack(common).partition(b"\r\n")[2]  # without the number of arguments
        head = b"*%d\r\n" % (5 + len(common)) + _EVALSHA
        return [
            b"".join((head, _bulk(stream_key(user)), _bulk(channel(user)), tail)) for user in event.recipients
        ]

    async def _send(self, calls: list[bytes]) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                waiting = await self._attempt(calls)
                if waiting:  # a Redis that restarted, failed over or was told SCRIPT FLUSH has no scripts
                    await self._attempt([_pack(("SCRIPT", "LOAD", _SCRIPT))])
                    waiting = await self._attempt(waiting)
        except (RedisError, OSError) as error:
            raise SinkUnavailable(f"redis: {type(error).__name__}") from error
        if waiting:
            raise SinkUnavailable("redis: the script vanished again")

    async def _attempt(self, calls: list[bytes]) -> list[bytes]:
        """Run the calls in one pipeline; returns those for which Redis lacked the script."""
        if self._idle:
            connection = self._idle.pop()
            try:
                return await self._run(connection, calls)
            except (redis.ConnectionError, OSError):
                pass  # it may have died with the Redis before this one: once more, on a new connection
        connection = self._connections.make_connection()  # type: ignore[no-untyped-call]
        return await self._run(connection, calls)

    async def _run(self, connection: AbstractConnection, calls: list[bytes]) -> list[bytes]:
        waiting: list[bytes] = []
        failed: ResponseError | None = None
        try:
            await connection.send_packed_command(b"".join(calls))  # connects when it is new
            for call in calls:
                try:
                    await connection.read_response()  # a timeout of its own would turn ETIMEDOUT into None
                except NoScriptError:
                    waiting.append(call)
                except ResponseError as error:
                    failed = error
        except BaseException:
            await connection.disconnect(nowait=True)  # what is still on its way there answers nobody
            raise
        self._idle.append(connection)
        if failed is not None:
            raise failed
        return waiting
