"""What is said on the control channel."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import redis.asyncio as redis
from redis.asyncio.client import PubSub

from servicekit.control import CHANNEL, Kind, News, decode, encode
from servicekit.identity import ActingUser


@dataclass
class Ear:
    """Hears all that is told while it is there."""

    client: redis.Redis
    channel: PubSub

    async def heard(self, *people: ActingUser) -> list[News]:
        """What was told before this call, and not heard yet, and concerns one of those people.

        Redis keeps a channel's order: all of it comes before a mark that is made now.
        """
        mark = encode(News(Kind.RELATIONS, (uuid.uuid4().hex,)))
        await self.client.publish(CHANNEL, mark)
        asked = {person.user_id for person in people}
        told: list[News] = []
        while True:
            message = await self.channel.get_message(ignore_subscribe_messages=True, timeout=10)
            assert message is not None, "the mark did not come"
            if message["data"] == mark:
                return told
            news = decode(message["data"])
            if asked & set(news.user_ids):
                told.append(news)


@asynccontextmanager
async def listening(redis_url: str) -> AsyncIterator[Ear]:
    """Subscribed to the control channel."""
    client = redis.Redis.from_url(redis_url)
    try:
        async with client.pubsub() as channel:
            await channel.subscribe(CHANNEL)
            assert await channel.get_message(timeout=10)  # the confirmation
            yield Ear(client, channel)
    finally:
        await client.aclose()


def relations(*people: ActingUser) -> News:
    """Word that these people's relations may have changed."""
    return News(Kind.RELATIONS, tuple(sorted(person.user_id for person in people)))
