"""Many edges report one person's sockets while replicas sweep: no lease is lost, nothing is told twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch
from urllib.parse import urlsplit

import orjson
import pytest
import pytest_asyncio
import redis.asyncio as redis

from presence_svc.actions.deps import Deps
from presence_svc.actions.report_connections import report_connections
from presence_svc.actions.sweep_leases import sweep_leases
from presence_svc.domain import Report, State, Status
from presence_svc.store import States, decode, states
from servicekit.realtime import presence_channel
from servicekit.redis_commands import RedisCommands, Script
from tests.support.backing import MakeDatabase
from tests.support.conversation_svc import new_person
from tests.support.presence_svc import listening, run_presence_service

ROUNDS = 12
ROUNDS_TO_CATCH = 200
WRITERS = 20
LEASE_S = 3600.0
"""Longer than a round, however slow the machine is: only the sweepers' clock is past it."""


class Ahead(States):
    """A Redis by whose clock every lease has lapsed."""

    async def now_ms(self) -> int:
        return await super().now_ms() + int(2000 * LEASE_S)

    async def read(self, user_ids: Sequence[str]) -> tuple[int, dict[str, bytes]]:
        now_ms, held = await super().read(user_ids)
        return now_ms + int(2000 * LEASE_S), held


@pytest.fixture(scope="module")
def presence_url(redis_url: str) -> str:
    """A database of these tests alone: their sweepers find everybody's leases lapsed."""
    return urlsplit(redis_url)._replace(path="/9").geturl()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def replicas(
    make_database: MakeDatabase, presence_url: str, key_folder: Path
) -> AsyncIterator[list[Deps]]:
    async with AsyncExitStack() as stack:
        database = await make_database()
        running = [
            await stack.enter_async_context(
                run_presence_service(
                    make_database,
                    presence_url,
                    key_folder,
                    "127.0.0.1:1",  # nobody is asked who may see whom
                    database=database,
                    presence_ttl_seconds=LEASE_S,
                    presence_keep_seconds=3 * int(LEASE_S),
                    presence_sweep_seconds=0.1,
                )
            )
            for _ in range(2)
        ]
        yield [each.app.deps for each in running]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sweepers(replicas: list[Deps], presence_url: str) -> AsyncIterator[list[Deps]]:
    commands = [RedisCommands(presence_url, timeout_s=20) for _ in range(4)]
    yield [replace(replicas[0], states=Ahead(each, keep_s=int(9 * LEASE_S))) for each in commands]
    for each in commands:
        each.close()


@pytest_asyncio.fixture
async def client(presence_url: str) -> AsyncIterator[redis.Redis]:
    client = redis.Redis.from_url(presence_url)
    yield client
    await client.aclose()


async def report_all(replicas: list[Deps], user: str) -> set[str]:
    """Each writer reports its own connection several times; those that are open in the end."""

    async def write(number: int) -> None:
        last = Status.OFFLINE if number % 4 == 3 else Status.ONLINE
        for status in (Status.ONLINE, Status.AWAY, last):
            await report_connections(replicas[number % 2], [(user, Report(f"c{number}", status))])

    await asyncio.gather(*(write(number) for number in range(WRITERS)))
    return {f"c{number}" for number in range(WRITERS) if number % 4 != 3}


async def state_of(deps: Deps, user: str) -> State:
    _, held = await deps.states.read([user])
    return decode(held[user])


def never_twice(told: list[str]) -> bool:
    return all(one != next_one for one, next_one in pairwise(told))


async def test_no_lease_is_lost_and_nothing_is_told_twice(
    replicas: list[Deps], sweepers: list[Deps], client: redis.Redis
) -> None:
    for _ in range(ROUNDS):
        user = new_person().user_id
        async with listening(client, presence_channel(user)) as heard:
            open_ones = await report_all(replicas, user)
            assert set((await state_of(replicas[0], user)).leases) == open_ones
            told = [orjson.loads(each)["data"]["status"] for each in await heard.rest()]
            assert never_twice(told)
            assert told[-1] == "online"
            await asyncio.gather(*(sweep_leases(each) for each in sweepers))
            told = [orjson.loads(each)["data"]["status"] for each in await heard.rest()]
            assert told == ["offline"]
        assert (await state_of(replicas[0], user)).leases == {}


async def test_reports_among_the_lapses_are_told_in_turn(
    replicas: list[Deps], sweepers: list[Deps], client: redis.Redis
) -> None:
    for _ in range(ROUNDS):
        user = new_person().user_id
        async with listening(client, presence_channel(user)) as heard:
            await asyncio.gather(
                report_all(replicas, user), *(sweep_leases(each) for each in sweepers for _ in range(2))
            )
            told = [orjson.loads(each)["data"]["status"] for each in await heard.rest()]
            assert never_twice(told)
            state = await state_of(replicas[0], user)
            assert state.told is not None
            assert told[-1] == state.told.value


async def test_a_build_that_does_not_compare_is_caught(replicas: list[Deps], client: redis.Redis) -> None:
    source = states._APPLY.source
    careless = source.replace("if held ~= ARGV[1] then\n  return held\nend\n", "")
    assert careless != source
    with patch.object(states, "_APPLY", Script(careless)):
        for _ in range(ROUNDS_TO_CATCH):
            user = new_person().user_id
            open_ones = await report_all(replicas, user)
            if set((await state_of(replicas[0], user)).leases) != open_ones:
                return
    raise AssertionError("the broken build went unnoticed")
