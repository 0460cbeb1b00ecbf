"""What comes over several turns of the loop leaves together, and what comes alone waits for nobody."""

from __future__ import annotations

import asyncio
import time

from servicekit.waves import Wave


class Pile:
    """Lets its wave take whatever lies there."""

    def __init__(self, most: int = 100) -> None:
        self.waiting: list[int] = []
        self.left: list[list[int]] = []
        self.wave = Wave(lambda: len(self.waiting), self._leave, most=most)

    def put(self, *what: int) -> None:
        for each in what:
            self.waiting.append(each)
            self.wave.come()

    def _leave(self) -> None:
        self.left.append(self.waiting)
        self.waiting = []


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_what_comes_alone_leaves_a_turn_later() -> None:
    pile = Pile()
    pile.put(1)
    await turns(1)
    assert pile.left == []
    await turns(1)
    assert pile.left == [[1]]
    await turns(5)
    assert pile.left == [[1]]


async def test_what_comes_in_every_turn_leaves_together_with_the_first_that_brings_none() -> None:
    pile = Pile()
    for each in (1, 3, 5):
        pile.put(each, each + 1)
        await turns(1)
    assert pile.left == []
    await turns(1)
    assert pile.left == [[1, 2, 3, 4, 5, 6]]
    pile.put(7)
    await turns(2)
    assert pile.left[1:] == [[7]]


async def test_a_full_pile_waits_for_no_turn_more() -> None:
    pile = Pile(most=4)
    for each in range(6):
        pile.put(each)
        await turns(1)
    await turns(2)
    assert pile.left == [[0, 1, 2, 3], [4, 5]]


async def test_a_wave_without_an_end_holds_nobody_up() -> None:
    pile = Pile()
    for each in range(100):
        pile.put(each)
        await turns(1)
        time.sleep(0.003)  # noqa: ASYNC251 - each turn takes longer than a wave may: the loop itself is to be late
        assert len(pile.waiting) <= 2
    assert len(pile.left) >= 40


async def test_what_was_taken_meanwhile_is_missed_by_nobody() -> None:
    pile = Pile()
    pile.put(1, 2)
    await turns(1)
    pile.waiting.clear()
    await turns(1)
    assert pile.left == [[]]
    pile.put(3)
    await turns(2)
    assert pile.left == [[], [3]]


async def test_what_comes_while_others_leave_leaves_too() -> None:
    pile = Pile()
    left = pile.wave

    def leave_and_come() -> None:
        pile.left.append(pile.waiting)
        pile.waiting = [7] if len(pile.left) == 1 else []
        if pile.waiting:
            left.come()

    left = Wave(lambda: len(pile.waiting), leave_and_come, most=100)
    pile.waiting.append(1)
    left.come()
    await turns(5)
    assert pile.left == [[1], [7]]


async def test_a_fault_of_those_who_left_is_not_for_those_who_come() -> None:
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, found: told.append(found["message"]))
    left: list[int] = []

    def fail() -> None:
        left.append(1)
        if len(left) == 1:
            raise ValueError

    wave = Wave(lambda: 1, fail, most=100)
    wave.come()
    await turns(5)
    wave.come()
    await turns(5)
    asyncio.get_running_loop().set_exception_handler(None)
    assert len(left) == 2
    assert len(told) == 1
