"""Channels that are listened on together."""

from __future__ import annotations

import asyncio

import pytest

from edge_gateway.sockets.topics import Topics
from servicekit.errors import ChatError, Reason


class Server:
    """Notes what is subscribed; confirms when told to."""

    def __init__(self) -> None:
        self.connected = True
        self.said: list[str] = []
        self.asked: dict[str, asyncio.Future[None]] = {}

    def subscribe(self, channel: str) -> asyncio.Future[None]:
        self.said.append(f"+{channel}")
        self.asked[channel] = asyncio.get_running_loop().create_future()
        return self.asked[channel]

    def unsubscribe(self, channel: str) -> None:
        self.said.append(f"-{channel}")


async def turn() -> None:
    """Lets everything go on that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_subscription_serves_all_until_the_last_has_left() -> None:
    server = Server()
    topics = Topics[str](server)
    joins = [asyncio.create_task(topics.join(["a", "b"], name)) for name in ("one", "other")]
    await turn()
    assert not any(join.done() for join in joins)
    for confirmed in server.asked.values():
        confirmed.set_result(None)
    await asyncio.gather(*joins)
    assert sorted(topics.of(b"a")) == ["one", "other"]
    topics.leave(["a", "a", "c"], "one")
    topics.leave(["a"], "stranger")
    assert server.said == ["+a", "+b"]
    topics.leave(["a", "b"], "other")
    topics.leave(["b"], "one")
    assert server.said == ["+a", "+b", "-a", "-b"]
    assert (len(topics), topics.of(b"a")) == (0, ())


async def test_who_goes_away_while_they_wait_does_not_end_it_for_the_others() -> None:
    server = Server()
    topics = Topics[str](server)
    joins = [asyncio.create_task(topics.join(["a"], name)) for name in ("one", "other")]
    await turn()
    joins[0].cancel()
    await turn()
    assert topics.of(b"a") == {"other"}
    server.asked["a"].set_result(None)
    await joins[1]
    assert server.said == ["+a"]


async def test_what_fails_leaves_nobody_in_it() -> None:
    server = Server()
    topics = Topics[str](server)
    join = asyncio.create_task(topics.join(["a", "b"], "one"))
    await turn()
    server.asked["a"].set_result(None)
    server.asked["b"].set_exception(ChatError(Reason.UNAVAILABLE, "gone"))
    with pytest.raises(ChatError):
        await join
    assert (len(topics), sorted(server.said)) == (0, ["+a", "+b", "-a", "-b"])
    server.connected = False
    with pytest.raises(ChatError):
        await topics.join(["a"], "one")
