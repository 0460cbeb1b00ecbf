"""500 people read while another one stalls, or floods: that one is closed, and nobody loses a frame.

A load program of its own process takes every frame that is due and times it. Rounds of quiet, stalled and
flooded stretches take turns. Each stretch is cut in windows of half a second, and the p99 of a kind is that
of its best quarter of windows: what else a machine does, and a hypervisor that takes it away for 15 ms every
second or two, only ever adds to a delay, while what is done here is done in every window, twice and more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest_asyncio
import redis.asyncio as redis

from bench.percentiles import steady, window_p99s
from bench.world import load
from deploy.local.system import System
from servicekit.realtime import channel
from tests.support.edge_metrics import metric
from tests.support.people import Person, Town
from tests.support.rawsocket import RawSocket, frame
from tests.support.sockets import message_event
from tests.support.waiting import eventually

READERS, MESSAGES_A_SECOND = 500, 500
ROUNDS, ROUND_SECONDS = 4, 2.0
WINDOW = MESSAGES_A_SECOND
"""Frames: half a second, since a message is told to two."""
LEAST_MS = 25.0
"""A p99 below it counts as this much: beside other checks, turns of the machine are most of it, and who had
to wait for a reader that stalls would wait for seconds. The figures are printed, for a quiet machine.
"""
LARGE = "x" * 60_000
COMES_BACK_S = 0.2
"""As often as anybody may connect for any length of time (RATE_CONNECT)."""

Disturb = Callable[[], Coroutine[None, None, None]]


@dataclass
class Rounds:
    """p99 in ms of each window, by what was done meanwhile."""

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
        if not isinstance(ended, asyncio.CancelledError):
            raise AssertionError("what was done meanwhile ended by itself") from ended


async def enter(person: Person, **options: int) -> RawSocket:
    """A socket that has caught up."""
    raw = await RawSocket.connect(
        f"{person.edge_url}/ws/chat",
        {"Authorization": f"Bearer {person.token}"},
        receive_buffer=options.get("receive_buffer"),
    )
    assert raw.status == 101, raw.body
    assert [(await raw.json())["type"] for _ in range(2)] == ["system.welcome", "system.caught_up"]
    return raw


async def closed_with(system: System, code: int) -> float:
    return await metric(system, f'edge_sockets_closed_total{{code="{code}"}}')


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def rounds(town: Town, system: System, redis_url: str) -> Rounds:
    """What was measured. That every frame came, the load program has seen to."""
    # All at one edge: those of another have nothing to wait for.
    stalling, flooding = [(await town.person()).at(system.edge_url) for _ in range(2)]
    # With a timeout of its own it may keep a cancellation to itself, and `stall` would never end.
    publisher = redis.Redis.from_url(redis_url, socket_timeout=None)

    async def stall() -> None:
        """Reads nothing of a megabyte and more, is closed, and comes again."""
        while True:
            back = asyncio.create_task(asyncio.sleep(COMES_BACK_S))
            raw = await enter(stalling, receive_buffer=4096)
            raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
            number = 0
            while await publisher.publish(channel(stalling.user_id), message_event(number, LARGE)):
                number += 1  # until nobody listens: the edge has closed it
                await asyncio.sleep(0.005)
            raw.abort()
            await back

    async def flood() -> None:
        """Says something two thousand times a second, is refused, closed, and comes again."""
        burst = frame(b'{"type":"message.send"}') * 100
        while True:
            back = asyncio.create_task(asyncio.sleep(COMES_BACK_S))
            raw = await enter(flooding)
            closing = asyncio.create_task(raw.close_code())
            while not closing.done():
                if not raw.writer.transport.is_closing():
                    raw.send(burst)
                await asyncio.wait({closing}, timeout=0.05)
            assert closing.result() == 4004
            raw.abort()
            await back

    found = Rounds()
    kinds = ((found.quiet, None), (found.stalled, stall), (found.flooded, flood))
    people = [[f"reader-{number}", await town.token(f"reader-{number}")] for number in range(READERS)]
    phase = {"kind": "pairs", "sockets": READERS, "rate": MESSAGES_A_SECOND}
    phase |= {"warm_s": 0.3, "measure_s": ROUND_SECONDS}
    configuration = {
        "edge_url": system.edge_url,
        "redis_url": redis_url,
        "people": people,
        "timed": 1,
    }
    try:
        async with load("fanout", configuration) as program:
            for _ in range(ROUNDS):
                for of_kind, disturb in kinds:
                    program.tell(phase)
                    await program.event("measuring", within_s=330)
                    async with doing(disturb):
                        program.go_on()
                        told = await program.event("measured", within_s=60)
                    program.go_on()
                    await program.event("done", within_s=60)
                    of_kind.extend(window_p99s(told["delays_ms"], WINDOW))
    finally:
        await publisher.aclose()
    print(
        f"p99 of 500 readers, ms: {[(kind, steady(p99s)) for kind, p99s in vars(found).items()]} of {found}"
    )
    return found


async def test_a_reader_that_stalls_makes_nobody_wait(rounds: Rounds, system: System) -> None:
    assert await closed_with(system, 4003) > 0
    assert steady(rounds.stalled) <= 2 * max(LEAST_MS, steady(rounds.quiet)), rounds


async def test_who_floods_is_closed_each_time_and_makes_nobody_wait(rounds: Rounds, system: System) -> None:
    async def flooders() -> float:
        return await closed_with(system, 4004)

    assert await eventually(flooders) > 0
    assert len(rounds.flooded) >= ROUNDS  # the load program has had every frame of them
    assert steady(rounds.flooded) <= 2 * max(LEAST_MS, steady(rounds.quiet)), rounds
