"""Which cursors are good for a resume: those whose own entry is still in the stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import redis.asyncio as redis

from servicekit.realtime import RealtimePublisher, stream_key
from tests.support.edge import Edge, run_beside, run_edge
from tests.support.issuer import Issuer
from tests.support.keys import Keys
from tests.support.resuming import come, cursors, leave
from tests.support.sockets import realtime, somebody
from tests.support.waiting import eventually


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def edge(keys: Keys, redis_url: str, issuer: Issuer) -> AsyncIterator[Edge]:
    """One of the module's own: what its services show stays."""
    async with run_edge(keys, redis_url, issuer) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def other_edge(edge: Edge) -> AsyncIterator[Edge]:
    async with run_beside(edge) as running:
        yield running


def _milliseconds(clock: tuple[int, int]) -> int:
    """Of Redis' `TIME`."""
    seconds, microseconds = clock
    return seconds * 1000 + microseconds // 1000


@pytest.mark.parametrize("fate", ["flushed", "trimmed", "its own entry is gone", "another Redis"])
async def test_a_cursor_whose_entry_is_gone_starts_over(
    edge: Edge, service: RealtimePublisher, publisher: redis.Redis, fate: str
) -> None:
    ada = somebody()
    for seq in (1, 2, 3):
        await service.publish([realtime("message.created", ada, seq=seq)])
    first, second, last = await cursors(publisher, ada)
    if fate == "flushed":
        await publisher.delete(stream_key(ada))
    elif fate == "trimmed":
        await publisher.xtrim(stream_key(ada), minid=last, approximate=False)
    elif fate == "its own entry is gone":
        await publisher.xdel(stream_key(ada), second)
    else:
        await publisher.delete(stream_key(ada))
        # Within the same millisecond the new entry could have the old one's id.
        await eventually(publisher.time, until=lambda now: _milliseconds(now) > int(last.partition("-")[0]))
        await service.publish([realtime("message.created", ada, seq=4)])
    _, [welcome, caught_up] = await come(edge, ada, second)
    assert (welcome["data"]["resumed"], welcome["data"]["reason"]) == (False, "cursor_unknown")
    now = await cursors(publisher, ada)
    expected = now[-1] if now else None
    assert (welcome.get("cursor"), caught_up.get("cursor")) == (expected, expected)
    assert first


@pytest.mark.parametrize(
    "cursor",
    [
        *("x", "17", "17-", "-0", "017-0", "17-00", "0-0", "-", "%2B", "$", "17-0%00", "(17-0", "9" * 400),
        *("99999999999999-0", "99999999999999999999-0", "18446744073709551616-0", "%F0%9F%98%80", "17-0%0A"),
    ],
)
async def test_what_is_no_cursor_starts_over(edge: Edge, service: RealtimePublisher, cursor: str) -> None:
    ada = somebody()
    await service.publish([realtime("message.created", ada, seq=1)])
    _, [welcome, _] = await come(edge, ada, cursor)
    assert (welcome["data"]["resumed"], welcome["data"]["reason"]) == (False, "cursor_unknown")


async def test_anothers_cursor_is_none_of_ones_own(
    edge: Edge, other_edge: Edge, service: RealtimePublisher
) -> None:
    ada, bob = somebody(), somebody()
    await service.publish([realtime("message.created", ada, seq=1)])
    await asyncio.sleep(0.002)  # an id is a millisecond: theirs must not be the same by chance
    await service.publish([realtime("message.created", bob, seq=1)])
    raw, [_, caught_up] = await come(edge, ada)
    await leave(raw)
    _, [welcome, end] = await come(other_edge, bob, caught_up["cursor"])
    assert (welcome["data"]["resumed"], welcome["data"]["reason"]) == (False, "cursor_unknown")
    assert end["cursor"] != caught_up["cursor"]


@pytest.mark.parametrize(("most", "missed", "is_resumed"), [(250, 250, True), (250, 251, False)])
async def test_more_than_is_replayed_starts_over(
    edge: Edge,
    service: RealtimePublisher,
    publisher: redis.Redis,
    most: int,
    missed: int,
    is_resumed: bool,
) -> None:
    ada = somebody()
    await service.publish([realtime("message.created", ada, seq=1)])
    [cursor] = await cursors(publisher, ada)
    blocked = [realtime("block.created", ada, None, userId="bob", version=number) for number in range(missed)]
    await service.publish(blocked)
    async with run_beside(edge, ws_max_replayed=most) as other:
        raw, [welcome, *_] = await come(other, ada, cursor)
        reason = None if is_resumed else "too_far_behind"
        assert (welcome["data"]["resumed"], welcome["data"].get("reason")) == (is_resumed, reason)
        await leave(raw)
