"""What is left of a call's time, to the millisecond."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import grpc
import pytest

from servicekit.errors import DeadlineError
from servicekit.grpc_client import budgeted
from servicekit.interceptors.base import Call
from servicekit.interceptors.deadline import DeadlineInterceptor, remaining_seconds


class Context:
    """What the interceptor asks of a call."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds

    def time_remaining(self) -> float | None:
        return self._seconds


async def left(seconds: float | None, default: float, timeout: float) -> tuple[float, float]:
    """What a handler has left, and what a call of `timeout` that it makes may take."""

    async def handler() -> tuple[float, float]:
        remaining = remaining_seconds()
        assert remaining is not None
        return remaining, budgeted(timeout)

    call = Call("/s/m", None, cast("grpc.aio.ServicerContext[Any, Any]", Context(seconds)))
    # A task of its own, as each call has: what it sets must not reach the other tests.
    answer = await asyncio.create_task(DeadlineInterceptor(default).around(call, handler))
    return cast(tuple[float, float], answer)


async def test_a_call_inside_of_a_call_leaves_fifty_milliseconds_to_answer_with() -> None:
    remaining, inner = await left(seconds=600, default=5, timeout=3600)
    assert 500 < remaining <= 600
    assert inner == pytest.approx(remaining - 0.05, abs=0.04)


async def test_a_timeout_that_is_shorter_stays() -> None:
    assert (await left(seconds=600, default=5, timeout=7))[1] == 7


async def test_a_call_without_a_deadline_has_the_default() -> None:
    remaining, inner = await left(seconds=None, default=600, timeout=3600)
    assert 500 < remaining <= 600
    assert inner < remaining


@pytest.mark.parametrize("seconds", [0, -3])
async def test_a_call_whose_time_is_over_is_refused_before_any_work(seconds: float) -> None:
    with pytest.raises(DeadlineError):
        await left(seconds=seconds, default=5, timeout=1)


async def test_a_timeout_inside_of_the_handler_is_not_taken_for_the_deadline() -> None:
    async def handler() -> None:
        raise TimeoutError

    call = Call("/s/m", None, cast("grpc.aio.ServicerContext[Any, Any]", Context(600)))
    with pytest.raises(TimeoutError):
        await asyncio.create_task(DeadlineInterceptor(5).around(call, handler))


def test_outside_of_a_call_the_timeout_is_the_timeout() -> None:
    assert budgeted(3) == 3
