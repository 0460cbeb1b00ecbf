"""What many ask at the same time is asked together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from edge_gateway.batches import Batches
from servicekit.errors import ChatError, Reason
from tests.support.waiting import eventually


class Doubling:
    """Doubles numbers once it is let; `seen` are the batches."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []
        self.go_on = asyncio.Event()

    async def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.seen.append(list(numbers))
        await self.go_on.wait()
        if 0 in numbers:
            raise ChatError(Reason.UNAVAILABLE, "not now")
        return [2 * number for number in numbers]


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_asks_within_one_turn_is_answered_together_and_in_order() -> None:
    double = Doubling()
    double.go_on.set()
    batches = Batches(double, most=64)
    assert await asyncio.gather(*(batches.ask(number) for number in (1, 2, 3))) == [2, 4, 6]
    assert await batches.ask(4) == 8
    assert double.seen == [[1, 2, 3], [4]]


async def test_what_comes_while_a_batch_is_under_way_gathers_until_it_is_answered() -> None:
    double = Doubling()
    batches = Batches(double, most=3)
    first = asyncio.create_task(batches.ask(1))
    await turns()
    others = [asyncio.create_task(batches.ask(number)) for number in (2, 3)]
    await turns()
    assert double.seen == [[1]]
    double.go_on.set()
    assert await asyncio.gather(first, *others) == [2, 4, 6]
    assert double.seen == [[1], [2, 3]]


async def test_a_batch_that_is_full_goes_at_once_but_not_more_than_a_few() -> None:
    double = Doubling()
    batches = Batches(double, most=2)
    asked = [asyncio.create_task(batches.ask(number)) for number in range(1, 12)]
    await turns()
    assert double.seen == [[1, 2], [3, 4], [5, 6], [7, 8]]
    double.go_on.set()
    assert await asyncio.gather(*asked) == [2 * number for number in range(1, 12)]
    assert double.seen[4:] == [[9, 10], [11]]


async def test_a_batch_that_hangs_does_not_hold_the_next_one_up() -> None:
    double = Doubling()
    batches = Batches(double, most=3)
    waiting = [asyncio.create_task(batches.ask(1))]
    await turns()
    waiting.append(asyncio.create_task(batches.ask(2)))

    async def begun() -> list[list[int]]:
        return double.seen

    assert await eventually(begun, until=lambda seen: len(seen) == 2) == [[1], [2]]
    double.go_on.set()
    await asyncio.gather(*waiting)


async def test_a_failure_is_everybodys_and_the_next_batch_is_none_the_wiser() -> None:
    double = Doubling()
    double.go_on.set()
    batches = Batches(double, most=64)
    answers = await asyncio.gather(batches.ask(0), batches.ask(1), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ChatError, ChatError]
    assert await batches.ask(1) == 2


async def test_who_has_gone_before_the_batch_began_is_left_out() -> None:
    double = Doubling()
    batches = Batches(double, most=64)
    first = asyncio.create_task(batches.ask(1))
    await turns()
    second, third = (asyncio.create_task(batches.ask(number)) for number in (2, 3))
    await turns()
    second.cancel()
    await turns()
    double.go_on.set()
    assert [await first, await third] == [2, 6]
    assert double.seen == [[1], [3]]
    with pytest.raises(asyncio.CancelledError):
        await second


async def test_a_batch_that_fills_up_while_it_gathers_goes_at_once() -> None:
    double = Doubling()
    batches = Batches(double, most=2)
    asked = []
    for number in (1, 2, 3):
        asked.append(asyncio.create_task(batches.ask(number)))
        await turns()
    assert double.seen == [[1], [2, 3]]
    double.go_on.set()
    await asyncio.gather(*asked)


async def test_what_gathered_goes_once_any_batch_is_answered() -> None:
    seen: list[list[int]] = []
    let = {number: asyncio.Event() for number in (1, 2, 3, 4)}

    async def answer(numbers: Sequence[int]) -> Sequence[int]:
        seen.append(list(numbers))
        for number in numbers:
            await let[number].wait()
        return numbers

    batches = Batches(answer, most=2)
    asked = []
    for number in (1, 2, 3):  # the first hangs, the next is full
        asked.append(asyncio.create_task(batches.ask(number)))
        await turns()
    asked.append(asyncio.create_task(batches.ask(4)))
    await turns()
    let[2].set()
    let[3].set()
    await turns()
    assert seen == [[1], [2, 3], [4]]
    for each in let.values():
        each.set()
    await asyncio.gather(*asked)


@pytest.mark.parametrize("number", [1, 3])
async def test_answers_that_cannot_be_told_apart_are_nobodys(number: int) -> None:
    async def answer(numbers: Sequence[int]) -> Sequence[int]:
        return [7] * number

    batches = Batches(answer, most=64)
    answers = await asyncio.gather(batches.ask(1), batches.ask(2), return_exceptions=True)
    assert [type(each) for each in answers] == [ValueError, ValueError]
