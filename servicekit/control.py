"""What every replica has to look at anew: told over one Redis channel to whoever is there.

It says about whom, never what is true now; who hears it asks. So a message that is lost, made up or repeated
does no harm: everybody who listens also asks every half a minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import orjson
import redis.asyncio as redis
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

CHANNEL = "control"
_log = structlog.get_logger(__name__)


class Kind(StrEnum):
    """What may have changed."""

    RELATIONS = "relations"
    """Who may see what of these people, and they of others: a block, a setting, who is in a conversation."""
    ACCESS = "access"
    """Whether these people are let in: a revocation, a ban."""


@dataclass(frozen=True, slots=True)
class News:
    """Something changed about these people."""

    kind: Kind
    user_ids: tuple[str, ...]


def encode(news: News) -> bytes:
    """What the channel carries: `{"kind", "userIds"}`."""
    return orjson.dumps({"kind": news.kind, "userIds": news.user_ids})


def decode(payload: bytes) -> News:
    """What the channel carried. ValueError when it is none of ours, or of a later release's kinds."""
    try:
        told = orjson.loads(payload)
        kind, user_ids = told["kind"], told["userIds"]
        if not isinstance(user_ids, list) or not all(isinstance(each, str) for each in (kind, *user_ids)):
            raise TypeError  # a kind that is no string is not looked up: it may be too deep to be told about
        return News(Kind(kind), tuple(user_ids))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("not news") from error


class ControlPublisher:
    """Tells at once or not at all. `timeout_s`: how long a Redis that is away may hold a caller up."""

    def __init__(self, url: str, *, timeout_s: float = 0.5) -> None:
        self._redis = redis.Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
        )

    async def tell(self, kind: Kind, user_ids: Sequence[str]) -> None:
        """Returns once Redis has it; when Redis is away that is logged, and those who listen ask later."""
        if not user_ids:
            return
        try:
            await self._redis.publish(CHANNEL, encode(News(kind, tuple(user_ids))))
        except (RedisError, OSError) as error:
            _log.warning("control_not_told", kind=kind.value, error=type(error).__name__)

    async def close(self) -> None:
        """Closes the connections."""
        await self._redis.aclose()
