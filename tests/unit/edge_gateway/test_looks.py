"""When it is asked what may be shown on screens."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn, cast

from edge_gateway.clients.presence import PresenceCalls
from edge_gateway.metrics import Metrics
from edge_gateway.sockets.looks import Looks, Times
from edge_gateway.sockets.session import Session
from edge_gateway.sockets.topics import Topics
from edge_gateway.sockets.typists import Typists
from edge_gateway.sockets.windows import Screen, Window
from edge_gateway.tokens.verifier import Principal
from servicekit.clock import SystemClock
from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from edge_gateway.sockets.topics import Subscriber


class Away:
    """A presence_svc that is not there, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def watch(self, _screens: Sequence[tuple[ActingUser, str]]) -> NoReturn:
        self.asked += 1
        raise ChatError(Reason.UNAVAILABLE, "It is away.")

    async def get_together(self, _questions: Sequence[tuple[ActingUser, Sequence[str]]]) -> NoReturn:
        raise AssertionError("nobody may be seen")


class Reader:
    """As much of a session as is asked of one."""

    principal = Principal(ActingUser("ada", "recruiter"), expires_at=2e9)


async def test_it_is_asked_again_however_often_there_was_no_answer() -> None:
    away, clock = Away(), SystemClock()
    looks = Looks(
        cast("PresenceCalls", away),
        Topics[Window](cast("Subscriber", None)),
        Typists(clock, lapse_s=6.0),
        Metrics(),
        clock,
        Times(recheck_s=0.05, answer_s=5.0, again_s=0.05, again_most_s=0.05),
    )
    window = Window(cast("Session", Reader()))
    opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    opened.set_result(None)
    screen = Screen(window, "where", opened, looks.again)
    screen.failures = 2000  # some hours of it
    looks.add(screen)
    looks.begin(window)

    async def asked_again() -> bool:
        return away.asked >= 3

    async def at_rest() -> bool:
        return window.worker is None

    await eventually(asked_again)
    assert not screen.known
    looks.drop(screen)
    await eventually(at_rest)
