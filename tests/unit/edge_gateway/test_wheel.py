"""Times of many in one timer."""

from __future__ import annotations

import asyncio
import time

from edge_gateway.sockets.wheel import Wheel
from tests.support.waiting import eventually


class Bell:
    """Rings."""

    def __init__(self) -> None:
        self.rang: list[float] = []

    def on_time(self) -> None:
        self.rang.append(time.monotonic())


async def rung(bell: Bell, times: int = 1) -> float:
    """When it rang for the last of so many times."""

    async def count() -> int:
        return len(bell.rang)

    await eventually(count, until=lambda number: number >= times)
    return bell.rang[times - 1]


async def test_nobody_is_called_before_their_time_and_everybody_in_their_order() -> None:
    wheel, began = Wheel(0.01), time.monotonic()
    bells = [Bell() for _ in range(3)]
    for bell, delay in zip(bells, (0.15, 0.0, 0.05), strict=True):
        wheel.add(delay, bell)
    last, first, second = [await rung(bell) for bell in bells]
    assert first < second < last
    assert last - began >= 0.15
    assert second - began >= 0.05


async def test_who_is_removed_is_not_called() -> None:
    wheel, gone, stays = Wheel(0.01), Bell(), Bell()
    slot = wheel.add(0.02, gone)
    wheel.add(0.02, stays)
    wheel.remove(slot, gone)
    wheel.remove(slot, gone)
    await rung(stays)
    assert gone.rang == []


async def test_an_empty_wheel_rests_and_begins_anew() -> None:
    wheel, bell = Wheel(0.01), Bell()
    wheel.add(0.0, bell)
    await rung(bell)
    await asyncio.sleep(0.1)
    began = time.monotonic()
    wheel.add(0.05, bell)
    assert await rung(bell, 2) - began >= 0.05


async def test_who_is_called_may_add_itself_again_and_remove_others() -> None:
    wheel = Wheel(0.01)
    other = Bell()
    left: list[int] = []

    class Again(Bell):
        def on_time(self) -> None:
            super().on_time()
            if len(self.rang) < 3:
                wheel.add(0.0, self)
            else:
                wheel.remove(left[0], other)

    again = Again()
    left.append(wheel.add(3600.0, other))
    wheel.add(0.0, again)
    await rung(again, 3)
    assert other.rang == []


async def test_who_is_slow_when_it_is_called_makes_nobody_else_forgotten() -> None:
    wheel, loop = Wheel(0.01), asyncio.get_running_loop()
    other = Bell()

    class Slow(Bell):
        def on_time(self) -> None:
            super().on_time()
            time.sleep(0.05)
            loop.call_later(0, lambda: None)  # lets uvloop look at its clock, as closing a socket does
            wheel.add(0.0, self)

    slow = Slow()
    wheel.add(0.0, slow)
    wheel.add(0.02, other)
    await rung(slow, 2)
    assert other.rang, "its slot was passed over"


async def test_a_fault_of_one_who_is_called_does_not_stop_the_others() -> None:
    wheel, loop, faults = Wheel(0.01), asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _loop, context: faults.append(context["exception"]))

    class Faulty:
        def on_time(self) -> None:
            raise ValueError

    other = Bell()
    wheel.add(0.0, Faulty())
    wheel.add(0.0, Faulty())
    wheel.add(0.05, other)
    await rung(other)
    assert faults
