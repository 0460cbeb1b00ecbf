"""Events to sockets: appended to each recipient's Redis Stream and published on their channel.

Key `{u:<user id>}`, channel `u:<user id>`. A stream entry holds ids: `type`, `eventId`, `at`, `refs`
(JSON) and `conversationId` unless there is none. The channel's payload is `<cursor>\\n<frame>`, where the
cursor is the entry's id and the frame is JSON, complete but for the cursor:

    {"type", "eventId", "eventVersion": 1, "occurredAt", "conversationId"?, "data"?}

The frame is encoded once an event; see `lua/publish.lua` for what makes the two one step.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from servicekit.outbox.events import RealtimeEvent, Refused, SinkUnavailable, rfc3339
from servicekit.outbox.spans import publish_spans

EVENT_VERSION = 1
_SCRIPT = (Path(__file__).parent / "lua" / "publish.lua").read_bytes()
_SHA = hashlib.sha1(_SCRIPT, usedforsecurity=False).hexdigest()
_PIPELINE_CALLS = 1000


def stream_key(user_id: str) -> str:
    """The user's stream."""
    return f"{{u:{user_id}}}"


def channel(user_id: str) -> str:
    """The channel that the user's sockets listen on."""
    return f"u:{user_id}"


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


class RealtimePublisher:
    """Publishes to Redis. The connection is made when first needed and again whenever it broke.

    `max_len` bounds each stream's entries (approximately), `max_age_s` their age; a stream without
    events goes a day later. `timeout_s` bounds each wait for Redis.
    """

    def __init__(
        self, redis_url: str, *, max_len: int = 1000, max_age_s: int = 7 * 86_400, timeout_s: float = 5.0
    ) -> None:
        self._redis = redis.Redis.from_url(
            redis_url,
            socket_connect_timeout=timeout_s,
            socket_timeout=timeout_s,
            # Once more at once: a kept connection may have died with the Redis before this one.
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        )
        self._limits = (max_len, max_age_s * 1000, max_age_s + 86_400)

    async def publish(self, events: Sequence[RealtimeEvent]) -> Refused:
        """Publish in the given order. Raises SinkUnavailable when Redis is away, full or not writable.

        An event is refused when it cannot be encoded. What is no stream in a stream's place is removed.
        """
        with publish_spans("publish realtime", events):
            refused: dict[UUID, str] = {}
            calls: list[tuple[Any, ...]] = []
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
        await self._redis.aclose()

    def _calls(self, event: RealtimeEvent) -> list[tuple[Any, ...]]:
        """The EVALSHA arguments of each recipient."""
        fields: list[Any] = ["type", event.name, "eventId", str(event.event_id)]
        fields += ["at", rfc3339(event.occurred_at), "refs", orjson.dumps(event.refs)]
        if event.conversation_id is not None:
            fields += ["conversationId", str(event.conversation_id)]
        tail = (*self._limits, encode_frame(event), *fields)
        return [("EVALSHA", _SHA, 1, stream_key(user), channel(user), *tail) for user in event.recipients]

    async def _send(self, calls: list[tuple[Any, ...]]) -> None:
        try:
            waiting = await self._attempt(calls)
            if waiting:  # a Redis that restarted, failed over or was told SCRIPT FLUSH has no scripts
                await self._redis.script_load(_SCRIPT)
                waiting = await self._attempt(waiting)
        except (RedisError, OSError) as error:
            raise SinkUnavailable(f"redis: {type(error).__name__}") from error
        if waiting:
            raise SinkUnavailable("redis: the script vanished again")

    async def _attempt(self, calls: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Run the calls in one pipeline; returns those for which Redis lacked the script."""
        pipe = self._redis.pipeline(transaction=False)
        for arguments in calls:
            pipe.execute_command(*arguments)
        waiting = []
        for call, answer in zip(calls, await pipe.execute(raise_on_error=False), strict=True):
            if isinstance(answer, NoScriptError):
                waiting.append(call)
            elif isinstance(answer, Exception):
                raise answer
        return waiting
