"""How much one may ask for: token buckets, in Redis for a person's requests, here for a socket's frames.

A bucket of `quota` tokens fills within `window_s`. What cannot be counted is allowed: limits protect the chat
from its users, and without Redis there is less to protect.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass
from pathlib import Path

import structlog
from redis.exceptions import RedisError

from edge_gateway import problems
from servicekit.errors import Reason
from servicekit.redis_commands import RedisCommands, Script
from servicekit.waves import Wave

_MOST_TOGETHER = 64
"""Buckets in one call: Redis does nothing else meanwhile."""
_TAKE = Script((Path(__file__).parent / "lua" / "take.lua").read_text(encoding="utf-8"))
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Policy:
    """`quota` at once, and again within `window_s` seconds."""

    quota: int
    window_s: int


def policy(text: str) -> Policy | None:
    """`<quota>/<seconds>`, or `off`."""
    if text == "off":
        return None
    quota, _, window = text.partition("/")
    return Policy(int(quota), int(window))


@dataclass(slots=True)  # not frozen, as all that is made for each request: that costs three times as much
class Taken:
    """What became of one request."""

    kind: str
    policy: Policy
    allowed: bool
    left: int
    retry_ms: int
    """Until one more is allowed."""
    full_ms: int

    @property
    def headers(self) -> dict[str, str]:
        """`RateLimit` and `RateLimit-Policy`, as draft-ietf-httpapi-ratelimit-headers has them."""
        return {
            "RateLimit-Policy": f'"{self.kind}";q={self.policy.quota};w={self.policy.window_s}',
            "RateLimit": f'"{self.kind}";r={self.left};t={-(-self.full_ms // 1000)}',
        }


_Asked = tuple["asyncio.Future[Taken | None]", str, str, Policy]
"""Who waits, for one of which person and kind."""


class Rates:
    """Buckets that all edges share, by person and kind. What a wave of requests takes is taken in one call.

    `pause_s`: how long nothing is counted after Redis did not answer.
    """

    def __init__(
        self, commands: RedisCommands, policies: Mapping[str, Policy | None], *, pause_s: float
    ) -> None:
        self._pause_s = pause_s
        self._commands = commands
        self._policies = policies
        self._blind_until = 0.0
        self._asked: list[_Asked] = []
        self._wave = Wave(lambda: len(self._asked), self._ask, most=_MOST_TOGETHER)
        self._calls: dict[asyncio.Task[None], Sequence[_Asked]] = {}
        self._closed = False

    async def require(self, user_id: str, kind: str, headers: dict[str, str]) -> None:
        """Counts one; what holds is added to `headers`. Raises ProblemError 429 for one too many."""
        taken = await self.take(user_id, kind)
        if taken is None:
            return
        headers |= taken.headers
        if not taken.allowed:
            wrong = problems.problem(Reason.RATE_LIMITED, retry_after_ms=taken.retry_ms)
            raise problems.ProblemError(wrong)

    async def take(self, user_id: str, kind: str) -> Taken | None:
        """None: this kind is not limited, or it cannot be counted now."""
        limit = self._policies[kind]
        loop = asyncio.get_running_loop()
        if limit is None or loop.time() < self._blind_until or self._closed:
            return None
        taken: asyncio.Future[Taken | None] = loop.create_future()
        self._asked.append((taken, user_id, kind, limit))
        self._wave.come()
        return await taken

    def close(self) -> None:
        """Counts nothing any more, what is under way neither. Before Redis' connection is closed."""
        self._closed = True
        for call, asked in self._calls.items():
            call.cancel()
            _settle(asked, [None] * len(asked))  # it may not have begun
        _settle(self._asked, [None] * len(self._asked))
        self._asked = []

    def _ask(self) -> None:
        asked = [each for each in self._asked if not each[0].done()]
        self._asked = []
        for start in range(0, len(asked), _MOST_TOGETHER):
            part = asked[start : start + _MOST_TOGETHER]
            # One that goes alone is logged as its request's.
            context = None if len(asked) == 1 else Context()
            call = asyncio.get_running_loop().create_task(self._take(part), context=context)
            self._calls[call] = part
            call.add_done_callback(self._calls.pop)

    async def _take(self, asked: Sequence[_Asked]) -> None:
        keys = [f"{{rate:{user_id}}}:{kind}" for _, user_id, kind, _ in asked]
        limits = [number for *_, limit in asked for number in (limit.quota, limit.window_s * 1000)]
        found: list[Taken | None] = [None] * len(asked)
        try:
            numbers = await self._commands.run(_TAKE, keys, limits)
            for place, (_, _, kind, limit) in enumerate(asked):
                taken, left, retry_ms, full_ms = numbers[4 * place : 4 * place + 4]
                found[place] = Taken(kind, limit, bool(taken), left, retry_ms, full_ms)
        except RedisError as error:
            self._blind_until = asyncio.get_running_loop().time() + self._pause_s
            _log.warning("rate_not_counted", error=type(error).__name__)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised to each who asked
            for waits, *_ in asked:
                if not waits.done():
                    waits.set_exception(error)
            return
        _settle(asked, found)


def _settle(asked: Sequence[_Asked], found: Sequence[Taken | None]) -> None:
    for (waits, *_), each in zip(asked, found, strict=True):
        if not waits.done():
            waits.set_result(each)


class Bucket:
    """One bucket of this process."""

    __slots__ = ("__weakref__", "_at", "_policy", "_tokens")

    def __init__(self, limit: Policy, now: float) -> None:
        self._policy = limit
        self._tokens = float(limit.quota)
        self._at = now

    def take(self, now: float) -> int:
        """0 when a token was taken, else the milliseconds until there is one. `now`: seconds, any clock."""
        quota, window_s = self._policy.quota, self._policy.window_s
        self._tokens = min(quota, self._tokens + max(0.0, now - self._at) * quota / window_s)
        self._at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0
        return math.ceil((1 - self._tokens) * window_s * 1000 / quota)
