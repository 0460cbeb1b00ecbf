"""How much one may ask for: token buckets, in Redis for a person's requests, here for a socket's frames.

A bucket of `quota` tokens fills within `window_s`. What cannot be counted is allowed: limits protect the chat
from its users, and without Redis there is less to protect.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import structlog
from redis.exceptions import RedisError

from edge_gateway import problems
from servicekit.errors import Reason
from servicekit.redis_commands import RedisCommands, Script

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


class Rates:
    """Buckets that all edges share, by person and kind.

    `pause_s`: how long nothing is counted after Redis did not answer.
    """

    def __init__(
        self, commands: RedisCommands, policies: Mapping[str, Policy | None], *, pause_s: float
    ) -> None:
        self._pause_s = pause_s
        self._commands = commands
        self._policies = policies
        self._blind_until = 0.0

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
        now = asyncio.get_running_loop().time()
        if limit is None or now < self._blind_until:
            return None
        try:
            answer = await self._commands.run(
                _TAKE, [f"{{rate:{user_id}}}:{kind}"], [limit.quota, limit.window_s * 1000]
            )
        except RedisError as error:
            self._blind_until = now + self._pause_s
            _log.warning("rate_not_counted", error=type(error).__name__)
            return None
        taken, left, retry_ms, full_ms = cast("list[int]", answer)
        return Taken(kind, limit, bool(taken), left, retry_ms, full_ms)


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
