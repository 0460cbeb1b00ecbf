"""What is known of each person's connections, in Redis.

`presence:user:{<shard>}:<user id>` is a string, the whole state as JSON:

    {"leases": {<connection id>: [<status>, <lapses at>]}, "seen": …, "told": <status>, "saved": …,
     "kept": …, "told_at": …, "changed": …}

`presence:due:{<shard>}` is a sorted set: user ids by the time at which time alone changes their state. Times
are milliseconds by Redis' own clock, so that replicas need not agree on one. `lua/apply.lua` puts a new state
in the place of the one it was made of, and publishes what has to be told of it, in one step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import orjson
from opentelemetry import trace

from presence_svc.domain import Lease, State, Status
from servicekit.realtime import presence_channel
from servicekit.redis_commands import RedisCommands, Script
from servicekit.telemetry import tracer

SHARDS = 64
ABSENT = b""
"""The stored form of a state that is not there."""
_APPLY = Script((Path(__file__).parents[1] / "lua" / "apply.lua").read_text())


@dataclass(frozen=True, slots=True)
class Write:
    """A new state for one person."""

    user_id: str
    held: bytes
    """The stored form of the state that it was made of."""
    state: State
    due_ms: int | None
    """When time alone changes it; None = never."""
    frame: bytes | None
    """What to publish; None = nothing."""


class States:
    """Redis as this service uses it. Every method raises RedisError when it is away.

    `keep_s`: for how long a state is kept that nobody changes.
    """

    def __init__(self, commands: RedisCommands, *, keep_s: int) -> None:
        self._commands = commands
        self._keep_ms = keep_s * 1000

    async def now_ms(self) -> int:
        """Redis' clock."""
        return _milliseconds(await self._commands.call("TIME"))

    async def read(self, user_ids: Sequence[str]) -> tuple[int, dict[str, bytes]]:
        """Redis' clock, and everybody's state in its stored form (see `decode`). One round trip."""
        with _span("redis.read_states", len(user_ids)):
            states = [self._commands.call("GET", _key(each)) for each in user_ids]
            time, *held = await asyncio.gather(self._commands.call("TIME"), *states)
        return _milliseconds(time), dict(zip(user_ids, (each or ABSENT for each in held), strict=True))

    async def apply(self, writes: Sequence[Write]) -> dict[str, bytes]:
        """Puts every state in its place. Those that were not are answered with what stands there instead.

        One round trip. Each write is one step of its own: a fault in the midst leaves some done, each wholly.
        """
        with _span("redis.apply_states", len(writes)):
            replies = await self._commands.run_all(_APPLY, [self._words(each) for each in writes])
        answers = zip(writes, replies, strict=True)
        return {write.user_id: reply for write, reply in answers if isinstance(reply, bytes)}

    async def due(self, now_ms: int, limit: int) -> list[str]:
        """Whose states time has to change: at most `limit` of each shard, those that are due longest."""
        shards = await asyncio.gather(
            *(
                self._commands.call("ZRANGE", _due_key(shard), "-inf", now_ms, "BYSCORE", "LIMIT", 0, limit)
                for shard in range(SHARDS)
            )
        )
        return [user_id.decode() for shard in shards for user_id in shard]

    async def publish(self, channel: str, payload: bytes) -> None:
        """Tells whoever listens."""
        with _span("redis.publish", 1):
            await self._commands.call("PUBLISH", channel, payload)

    def _words(self, write: Write) -> tuple[tuple[str, str], tuple[str | bytes | int, ...]]:
        """KEYS and ARGV."""
        keys = (_key(write.user_id), _due_key(_shard(write.user_id)))
        return keys, (
            write.held,
            encode(write.state),
            self._keep_ms,
            write.user_id,
            "" if write.due_ms is None else write.due_ms,
            presence_channel(write.user_id),
            write.frame or b"",
        )


def encode(state: State) -> bytes:
    """The stored form."""
    return orjson.dumps(
        {
            "leases": {name: (lease.status, lease.until_ms) for name, lease in state.leases.items()},
            "seen": state.seen_ms,
            "told": state.told,
            "told_at": state.told_ms,
            "saved": state.saved_ms,
            "kept": state.kept_ms,
            "changed": state.changed_ms,
        }
    )


def decode(held: bytes) -> State:
    """The state of a stored form. What cannot be read is as nothing: the next report mends it."""
    if held == ABSENT:
        return State()
    try:
        read: Mapping[str, Any] = orjson.loads(held)
        seen_ms, saved_ms = _moment(read["seen"]), _moment(read["saved"])
        # The release before has neither of the last two, and took for kept what was seen before it saved.
        known = seen_ms if seen_ms is not None and saved_ms is not None and saved_ms >= seen_ms else None
        return State(
            leases={name: Lease(Status(status), int(at)) for name, (status, at) in read["leases"].items()},
            seen_ms=seen_ms,
            told=Status(read["told"]),
            told_ms=_moment(read["told_at"]),
            saved_ms=saved_ms,
            kept_ms=_moment(read.get("kept", known)),
            changed_ms=_moment(read.get("changed")),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return State()


def _moment(stored: Any) -> int | None:
    return None if stored is None else int(stored)


def _shard(user_id: str) -> int:
    return crc32(user_id.encode()) % SHARDS


def _key(user_id: str) -> str:
    return f"presence:user:{{{_shard(user_id)}}}:{user_id}"


def _due_key(shard: int) -> str:
    return f"presence:due:{{{shard}}}"


def _milliseconds(time: Sequence[bytes]) -> int:
    """Of what TIME replies."""
    return int(time[0]) * 1000 + int(time[1]) // 1000


@contextmanager
def _span(name: str, count: int) -> Iterator[None]:
    """A span beneath one that is recorded: the sweeper makes no traces."""
    if not trace.get_current_span().is_recording():
        yield
        return
    with tracer().start_as_current_span(
        name,
        kind=trace.SpanKind.CLIENT,
        attributes={"db.system.name": "redis", "db.operation.batch.size": count},
        record_exception=False,
    ):
        yield
