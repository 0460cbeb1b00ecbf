"""How a replay is told: at the pace of its reader, as things stand then, and with services that are away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from servicekit.errors import ChatError, Reason
from servicekit.realtime import RealtimePublisher
from tests.support.edge import Edge, run_beside, run_edge
from tests.support.issuer import Issuer
from tests.support.keys import Keys
from tests.support.resuming import come, leave, redacted, told
from tests.support.sockets import connect, realtime, somebody, stored_message
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


async def test_a_body_that_was_redacted_meanwhile_is_nowhere_in_a_replay(
    edge: Edge, other_edge: Edge, service: RealtimePublisher
) -> None:
    ada = somebody()
    await service.publish([realtime("message.created", ada, seq=1)])
    raw, [_, caught_up] = await come(edge, ada)
    await leave(raw)
    await service.publish([realtime("message.created", ada, seq=8), realtime("message.updated", ada, seq=8)])
    edge.services.keep(redacted(stored_message(8, "secret")))
    _, [_, created, updated, _] = await come(other_edge, ada, caught_up["cursor"])
    for frame in (created, updated):
        message = frame["data"]["message"]
        assert (message["text"], message["redactedBy"], message["changeSeq"]) == ("", "ada", 9)


async def test_a_long_replay_goes_at_the_readers_pace(
    keys: Keys, redis_url: str, issuer: Issuer, service: RealtimePublisher
) -> None:
    async with run_edge(keys, redis_url, issuer, ws_max_buffer_bytes=100 * 1024) as edge:
        ada = somebody()
        await service.publish([realtime("message.created", ada, seq=1)])
        raw, [_, caught_up] = await come(edge, ada)
        await leave(raw)
        count = 200  # of 32 KB: far more than the kernel and the edge let wait for one reader
        edge.services.keep(*(stored_message(seq, "\U0001f600" * 8000) for seq in range(1, count + 1)))
        await service.publish([realtime("message.created", ada, seq=seq) for seq in range(1, count + 1)])
        raw = await connect(edge, ada, query=f"cursor={caught_up['cursor']}", receive_buffer=4096)
        first = await raw.json()
        assert first["data"]["resumed"] is True
        frames = await told(raw)
        assert [frame["data"]["message"]["seq"] for frame in frames[:-1]] == list(range(1, count + 1))


async def test_a_replay_waits_for_a_service_that_is_away_and_gives_up_in_the_end(
    keys: Keys, redis_url: str, issuer: Issuer, service: RealtimePublisher
) -> None:
    async with run_edge(keys, redis_url, issuer, event_patience_ms=3000) as edge:
        ada = somebody()
        await service.publish([realtime("message.created", ada, seq=1)])
        raw, [_, caught_up] = await come(edge, ada)
        await leave(raw)
        await service.publish([realtime("message.created", ada, seq=2)])
        edge.services.keep(stored_message(2))
        working, failures = edge.services.answers["GetMessages"], iter(range(2))

        def fails_twice(request: Any, user: Any) -> Any:
            if next(failures, None) is not None:
                raise ChatError(Reason.INTERNAL, "a fault")
            return working(request, user)

        edge.services.answers["GetMessages"] = fails_twice
        raw, [_, only, _] = await come(edge, ada, caught_up["cursor"])
        assert only["data"]["message"]["seq"] == 2
        await leave(raw)

        def fails(_request: Any, _user: Any) -> Any:
            raise ChatError(Reason.INTERNAL, "a fault")

        edge.services.answers["GetMessages"] = fails
        raw = await connect(edge, ada, query=f"cursor={caught_up['cursor']}")
        assert (await raw.json())["data"]["resumed"] is True
        assert await raw.close_code() == 1012


async def test_a_socket_that_goes_in_the_middle_of_its_replay_leaves_nothing_behind(
    keys: Keys, redis_url: str, issuer: Issuer, service: RealtimePublisher
) -> None:
    async with run_edge(keys, redis_url, issuer) as edge:
        ada = somebody()
        await service.publish([realtime("message.created", ada, seq=1)])
        raw, [_, caught_up] = await come(edge, ada)
        await leave(raw)
        await service.publish([realtime("message.created", ada, seq=2)])
        asked = asyncio.Event()

        async def stuck(_request: Any, _user: Any) -> Any:
            asked.set()
            await asyncio.Event().wait()

        edge.services.answers["GetMessages"] = stuck
        raw = await connect(edge, ada, query=f"cursor={caught_up['cursor']}")
        await asked.wait()
        await leave(raw)

        async def left() -> tuple[float, bool]:
            names = [task.get_coro().__qualname__ for task in asyncio.all_tasks()]  # type: ignore[union-attr]
            return edge.count("edge_sockets_open"), "Session._catch_up" in names

        await eventually(left, until=lambda seen: seen == (0, False))
