"""Frames as they come in on a person's channel."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import redis.asyncio as redis

from tests.support.waiting import eventually


class Frames:
    """Frames as they come in on one person's channel."""

    def __init__(self, pubsub: redis.client.PubSub) -> None:
        self._pubsub = pubsub
        self.seen: list[dict[str, Any]] = []

    async def until(self, count: int) -> list[dict[str, Any]]:
        """The first `count` frames; waits for them."""

        async def collect() -> int:
            message = await self._pubsub.get_message(ignore_subscribe_messages=True, timeout=0.1)
            if message is not None:
                cursor, frame = message["data"].split(b"\n", 1)
                assert cursor
                self.seen.append(orjson.loads(frame))
            return len(self.seen)

        await eventually(collect, until=lambda seen: seen >= count)
        return self.seen


@asynccontextmanager
async def frames_of(redis_url: str, user_id: str) -> AsyncIterator[Frames]:
    client = redis.Redis.from_url(redis_url)
    pubsub = client.pubsub()
    await pubsub.subscribe(f"u:{user_id}")
    await pubsub.get_message(timeout=10)  # the confirmation
    try:
        yield Frames(pubsub)
    finally:
        await pubsub.aclose()  # type: ignore[no-untyped-call]
        await client.aclose()
