"""How many sockets one person may have: counted over all edges, exactly, also after one of them died."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest_asyncio
import redis.asyncio as redis

from servicekit.realtime import channel
from tests.support.edge import Edge, run_edge
from tests.support.issuer import Issuer
from tests.support.keys import Keys
from tests.support.rawsocket import RawSocket, frame
from tests.support.sockets import connect, enter, message_event, somebody, stored_message
from tests.support.waiting import eventually

LIMIT = 3


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def edges(keys: Keys, redis_url: str, issuer: Issuer) -> AsyncIterator[list[Edge]]:
    async with AsyncExitStack() as stack:
        runs = [run_edge(keys, redis_url, issuer, ws_max_per_user=LIMIT) for _ in range(2)]
        yield [await stack.enter_async_context(each) for each in runs]


async def is_live(publisher: redis.Redis, user: str, sockets: list[RawSocket]) -> None:
    """Fails unless each has the next event."""
    await publisher.publish(channel(user), message_event(1))
    for raw in sockets:
        assert (await raw.json())["type"] == "message.created"


async def test_one_too_many_replaces_the_oldest_on_whichever_edge_it_is(
    edges: list[Edge], publisher: redis.Redis
) -> None:
    ada, bob = somebody(), somebody()
    others = [await enter(edges[0], bob) for _ in range(LIMIT)]
    sockets = [await enter(edges[number % 2], ada) for number in range(LIMIT)]
    for number in range(LIMIT, LIMIT + 3):
        sockets.append(await enter(edges[number % 2], ada))
        assert await sockets.pop(0).close_code() == 4504
    await is_live(publisher, ada, sockets)
    await is_live(publisher, bob, others)


async def test_a_socket_that_is_gone_leaves_its_place(edges: list[Edge], publisher: redis.Redis) -> None:
    ada = somebody()
    stays, vanishes, leaves = [await enter(edges[0], ada) for _ in range(LIMIT)]
    vanishes.abort()
    leaves.send(frame(b"\x03\xe8", opcode=8))
    assert await leaves.close_code() == 1000

    async def counted() -> int:
        return int(await publisher.zcard(f"{{sockets:{ada}}}"))

    await eventually(counted, until=lambda count: count == 1)
    more = [await enter(edges[1], ada) for _ in range(LIMIT - 1)]
    await is_live(publisher, ada, [stays, *more])


async def test_leases_of_an_edge_that_died_count_no_more(edges: list[Edge], publisher: redis.Redis) -> None:
    ada = somebody()
    stays = await enter(edges[0], ada)
    # As an edge leaves them that was killed: newer than a socket that is there.
    dead = {f"{'0' * 32}:{number}": 9e15 for number in range(LIMIT)}
    await publisher.zadd(f"{{sockets:{ada}}}", dead)
    await is_live(publisher, ada, [stays, await enter(edges[1], ada)])
    assert await publisher.zcard(f"{{sockets:{ada}}}") == 2


async def test_a_storm_of_one_person_ends_with_as_many_as_may_be(
    edges: list[Edge], publisher: redis.Redis
) -> None:
    ada = somebody()
    for edge in edges:
        edge.services.keep(stored_message(1))
    sockets = await asyncio.gather(*(connect(edges[number % 2], ada) for number in range(20)))
    assert {raw.status for raw in sockets} == {101}
    await publisher.publish(channel(ada), message_event(1))

    async def fate(raw: RawSocket) -> str:
        while True:
            opcode, payload = await raw.receive()
            if opcode == 8:
                return str(int.from_bytes(payload[:2], "big"))
            if opcode == 1 and b'"message.created"' in payload:
                return "live"

    fates = sorted(await asyncio.gather(*(fate(raw) for raw in sockets)))
    assert fates == ["4504"] * (20 - LIMIT) + ["live"] * LIMIT


async def test_a_lease_is_kept_for_longer_than_its_socket_may_stay(
    keys: Keys, redis_url: str, issuer: Issuer, publisher: redis.Redis
) -> None:
    days = 30 * 86_400
    async with run_edge(keys, redis_url, issuer, ws_max_age_s=days) as edge:
        ada = somebody()
        raw = await enter(edge, ada)

        async def kept_for() -> int:
            return int(await publisher.ttl(f"{{sockets:{ada}}}"))

        assert await eventually(kept_for, until=lambda seconds: seconds > 0) > days
        raw.abort()
