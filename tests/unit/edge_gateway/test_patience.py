"""One timer for many times of one length."""

from __future__ import annotations

import asyncio

import pytest

from edge_gateway.http.patience import Patience, TimeLimit


async def test_each_has_its_own_time_and_who_is_done_is_not_told() -> None:
    over: list[str] = []
    third = asyncio.Event()

    def on_over(name: str) -> None:
        over.append(name)
        if name == "first":
            patience.begin("third")  # while others are looked at
        if name == "third":
            third.set()

    patience = Patience(0.03, on_over)
    loop = asyncio.get_running_loop()
    began = loop.time()
    for name in ("first", "done", "second"):
        patience.begin(name)
    patience.end("done")
    patience.end("done")
    assert list(patience) == ["first", "second"]
    async with asyncio.timeout(30):
        await third.wait()
    assert over == ["first", "second", "third"]
    assert loop.time() - began >= 0.06
    assert len(patience) == 0
    patience.begin("fourth")
    assert "fourth" in patience
    patience.close()
    await asyncio.sleep(0.05)
    assert over == ["first", "second", "third"]


async def test_who_is_ended_by_one_that_was_over_with_it_is_not_told() -> None:
    over: list[str] = []
    last = asyncio.Event()

    def on_over(name: str) -> None:
        over.append(name)
        patience.end("second")
        if name == "third":
            last.set()

    patience = Patience(0.0, on_over)
    for name in ("first", "second", "third"):
        patience.begin(name)
    async with asyncio.timeout(30):
        await last.wait()
    assert over == ["first", "third"]


async def test_what_takes_too_long_is_cut_short_and_nothing_else() -> None:
    limit = TimeLimit(0.03)

    async def work(seconds: float) -> str:
        with limit():
            await asyncio.sleep(seconds)
        return "done"

    quick, slow, later = await asyncio.gather(work(0), work(60), work(0.001), return_exceptions=True)
    assert (quick, later) == ("done", "done")
    assert isinstance(slow, TimeoutError)


async def test_who_is_cancelled_is_not_late() -> None:
    limit = TimeLimit(60)

    async def work() -> None:
        with limit():
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_that_comes_before_stays_what_it_is() -> None:
    limit = TimeLimit(60)
    with pytest.raises(ValueError, match="mine"), limit():
        raise ValueError("mine")
