"""When it is asked what may be shown on screens."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NoReturn, cast

from splits.chat.presence.v1 import service_pb2 as presence_rpc

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


class Away:
    """A presence_svc that is not there, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def watch(self, _screens: Sequence[tuple[ActingUser, str]]) -> NoReturn:
        self.asked += 1
        raise ChatError(Reason.UNAVAILABLE, "It is away.")

    async def get_together(self, _questions: Sequence[tuple[ActingUser, Sequence[str]]]) -> NoReturn:
        raise AssertionError("nobody may be seen")


class Hangs:
    """A presence_svc that takes the first question how somebody is, and never answers it."""

    def __init__(self) -> None:
        self.asked = 0

    async def watch(self, _screens: Sequence[tuple[ActingUser, str]]) -> list[presence_rpc.Watch]:
        return [presence_rpc.Watch(found=True, presence_of=["bob"])]

    async def get_together(
        self, _questions: Sequence[tuple[ActingUser, Sequence[str]]]
    ) -> list[list[presence_rpc.Presence]]:
        self.asked += 1
        if self.asked == 1:
            await asyncio.Event().wait()
        return [[presence_rpc.Presence(user_id="bob", status=presence_rpc.STATUS_ONLINE)]]


class Redis:
    """Confirms every channel at once."""

    connected = True

    def subscribe(self, _channel: str) -> asyncio.Future[None]:
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        confirmed.set_result(None)
        return confirmed

    def unsubscribe(self, channel: str) -> None:
        pass


class Reader:
    """As much of a session as is asked of one."""

    principal = Principal(ActingUser("ada", "recruiter"), expires_at=2e9)
    user_id = "ada"

    def __init__(self) -> None:
        self.told: list[bytes] = []

    def offer(self, frame: bytes) -> bool:
        self.told.append(frame)
        return True

    def say(self, frame: bytes) -> None:
        self.told.append(frame)


def looks_at(presence: object, metrics: Metrics, times: Times) -> tuple[Looks, Screen]:
    """One screen, which was opened long ago."""
    clock = SystemClock()
    topics, typists = Topics[Window](Redis()), Typists(clock, lapse_s=6.0)
    looks = Looks(cast("PresenceCalls", presence), topics, typists, metrics, clock, times)
    opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    opened.set_result(None)
    return looks, Screen(Window(cast("Session", Reader())), "where", opened, looks.again)


async def close(looks: Looks, screen: Screen) -> None:
    """Returns once nothing is asked any more."""

    async def at_rest() -> bool:
        return screen.window.worker is None

    looks.drop(screen)
    await eventually(at_rest)


async def test_it_is_asked_again_however_often_there_was_no_answer() -> None:
    away = Away()
    times = Times(recheck_s=0.05, answer_s=5.0, again_s=0.05, again_most_s=0.05)
    looks, screen = looks_at(away, Metrics(), times)
    screen.failures = 2000  # some hours of it
    looks.add(screen)
    looks.begin(screen.window)

    async def asked_again() -> bool:
        return away.asked >= 3

    await eventually(asked_again)
    assert not screen.known
    await close(looks, screen)


async def test_how_people_are_is_given_up_without_an_answer_and_can_be_asked_again() -> None:
    hangs, metrics = Hangs(), Metrics()
    times = Times(recheck_s=60.0, answer_s=0.5, again_s=60.0, again_most_s=60.0)
    looks, screen = looks_at(hangs, metrics, times)
    looks.add(screen)
    looks.begin(screen.window)

    async def given_up() -> bool:
        return metrics.registry.get_sample_value("edge_looks_total", {"outcome": "failed"}) == 1

    async def told() -> bool:
        return bool(cast("Reader", screen.window.session).told)

    await eventually(given_up)
    assert not screen.known
    looks.again(screen)
    await eventually(told)
    assert hangs.asked == 2
    assert screen.known
    await close(looks, screen)
