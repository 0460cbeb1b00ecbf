"""500 people read while another one stalls, or floods: that one is closed, and nobody loses a frame.

A load program of its own process takes every frame that is due and times one in sixteen. Rounds of quiet,
stalled and flooded stretches take turns, and of each kind the best round counts: what else a machine does
only ever adds to a delay.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest_asyncio
import redis.asyncio as redis

from bench.world import load
from deploy.local.system import System
from servicekit.realtime import channel
from tests.support.edge_metrics import metric
from tests.support.people import Person, Town
from tests.support.rawsocket import RawSocket, frame
from tests.support.sockets import message_event
from tests.support.waiting import eventually

READERS, MESSAGES_A_SECOND = 500, 500
ROUNDS, ROUND_SECONDS = 3, 1.5
LEAST_MS = 100.0
"""A p99 below it counts as this much: beside other checks, turns of the machine are most of it, and who had
to wait for a reader that stalls would wait for seconds. The figures are printed, for a quiet machine.
"""
LARGE, AT_ONCE = "x" * 60_000, 30

Disturb = Callable[[], Coroutine[None, None, None]]


@dataclass
class Rounds:
    """p99 in ms of each round, by what was done meanwhile."""

    quiet: list[float] = field(default_factory=list)
    stalled: list[float] = field(default_factory=list)
    flooded: list[float] = field(default_factory=list)


@asynccontextmanager
async def doing(disturb: Disturb | None) -> AsyncIterator[None]:
    """Beside what is measured."""
    if disturb is None:
        yield
        return
    task = asyncio.create_task(disturb())
    try:
        yield
    finally:
        task.cancel()
        [ended] = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended


async def enter(person: Person, **options: int) -> RawSocket:
    """A socket that has caught up."""
    raw = await RawSocket.connect(
        f"{person.edge_url}/ws/chat",
        {"Authorization": f"Bearer {person.token}"},
        receive_buffer=options.get("receive_buffer"),
    )
    assert [(await raw.json())["type"] for _ in range(2)] == ["system.welcome", "system.caught_up"]
    return raw


async def closed_with(system: System, code: int) -> float:
    return await metric(system.ops_url, f'edge_sockets_closed_total{{code="{code}"}}')


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def rounds(town: Town, system: System, redis_url: str) -> Rounds:
    """What was measured. That every frame came, the load program has seen to."""
    stalling, flooding = await town.person(), await town.person()
    publisher = redis.Redis.from_url(redis_url)

    async def stall() -> None:
        """Reads nothing of a megabyte and more, is closed, and comes again."""
        while True:
            before = await closed_with(system, 4003)
            raw = await enter(stalling, receive_buffer=4096)
            raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
            while await closed_with(system, 4003) == before:  # to look is dear to the edge: not each time
                for number in range(AT_ONCE):
                    await publisher.publish(channel(stalling.user_id), message_event(number, LARGE))
                    await asyncio.sleep(0.005)
            raw.abort()

    async def flood() -> None:
        """Says something two thousand times a second, is refused, closed, and comes again."""
        burst = frame(b'{"type":"message.send"}') * 100
        while True:
            raw = await enter(flooding)
            closing = asyncio.create_task(raw.close_code())
            while not closing.done():
                if not raw.writer.transport.is_closing():
                    raw.send(burst)
                await asyncio.wait({closing}, timeout=0.05)
            assert closing.result() == 4004
            raw.abort()

    found = Rounds()
    kinds = ((found.quiet, None), (found.stalled, stall), (found.flooded, flood))
    people = [[f"reader-{number}", await town.token(f"reader-{number}")] for number in range(READERS)]
    phase = {"kind": "pairs", "sockets": READERS, "rate": MESSAGES_A_SECOND}
    phase |= {"warm_s": 0.3, "measure_s": ROUND_SECONDS}
    configuration = {
        "edge_url": system.edge_url,
        "redis_url": redis_url,
        "people": people,
        "phases": [phase] * (ROUNDS * len(kinds)),
    }
    try:
        async with load("fanout", configuration) as program:
            for _ in range(ROUNDS):
                for p99s, disturb in kinds:
                    await program.event("opened", within_s=300)
                    await program.event("measuring", within_s=60)
                    async with doing(disturb):
                        program.go_on()
                        told = await program.event("measured", within_s=60)
                    program.go_on()
                    p99s.append(told["delay_ms"][1])
            await program.event("done", within_s=60)
    finally:
        await publisher.aclose()
    print(f"p99 of 500 readers, ms: {found}")
    return found


async def test_a_reader_that_stalls_makes_nobody_wait(rounds: Rounds, system: System) -> None:
    assert await closed_with(system, 4003) > 0
    assert min(rounds.stalled) <= 2 * max(LEAST_MS, min(rounds.quiet)), rounds


async def test_who_floods_is_closed_each_time_and_makes_nobody_wait(rounds: Rounds, system: System) -> None:
    async def flooders() -> float:
        return await closed_with(system, 4004)

    assert await eventually(flooders) > 0
    assert len(rounds.flooded) == ROUNDS  # the load program has had every frame of them
    assert min(rounds.flooded) <= 2 * max(LEAST_MS, min(rounds.quiet)), rounds
