"""What is told over the control channel."""

from __future__ import annotations

import time

import redis.asyncio as redis

from servicekit.control import CHANNEL, ControlPublisher, Kind, News, decode


async def test_who_listens_hears_about_whom(redis_url: str, redis_client: redis.Redis) -> None:
    publisher = ControlPublisher(redis_url)
    async with redis_client.pubsub() as heard:
        await heard.subscribe(CHANNEL)
        assert await heard.get_message(timeout=5)  # the confirmation
        await publisher.tell(Kind.RELATIONS, ["ada", "bob"])
        await publisher.tell(Kind.ACCESS, [])  # about nobody: nothing is told
        await publisher.tell(Kind.ACCESS, ["eve"])
        came = [await heard.get_message(timeout=5) for _ in range(2)]
    assert [decode(each["data"]) for each in came if each] == [
        News(Kind.RELATIONS, ("ada", "bob")),
        News(Kind.ACCESS, ("eve",)),
    ]
    await publisher.close()


async def test_a_redis_that_is_away_holds_nobody_up() -> None:
    publisher = ControlPublisher("redis://127.0.0.1:1/0", timeout_s=0.2)
    began = time.monotonic()
    await publisher.tell(Kind.RELATIONS, ["ada"])
    assert time.monotonic() - began < 2
    await publisher.close()
