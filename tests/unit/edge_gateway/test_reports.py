"""What presence_svc is told of sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import pytest
from splits.chat.presence.v1 import service_pb2 as presence_rpc
from structlog.testing import capture_logs

from edge_gateway.metrics import Metrics
from edge_gateway.sockets.hydration import Hydration
from edge_gateway.sockets.pace import Paces
from edge_gateway.sockets.reports import Reports, Times
from edge_gateway.sockets.session import Session
from edge_gateway.sockets.wheel import Wheel
from edge_gateway.tokens.verifier import Principal
from servicekit.clock import SystemClock
from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser
from tests.support.waiting import eventually

ONLINE, AWAY, OFFLINE = presence_rpc.STATUS_ONLINE, presence_rpc.STATUS_AWAY, presence_rpc.STATUS_OFFLINE
Word = tuple[str, int]


def _session(user_id: str = "ada", *, impersonator: str | None = None) -> Session:
    async def handle(_session: Session, _payload: bytes) -> None:
        raise AssertionError("nothing is said here")

    return Session(
        Principal(ActingUser(user_id, "candidate", impersonator=impersonator), expires_at=2e9),
        clock=SystemClock(),
        hydration=cast("Hydration", None),  # nothing waits here
        max_held=10,
        max_age_s=60,
        paces=Paces(None, None),
        handle=handle,
        on_end=lambda _session: None,
        on_sign=lambda _session: None,
        alarms=Wheel(60),
    )


class Presence:
    """Notes what it is told, call by call; `gate` holds calls up, `error` fails them."""

    def __init__(self) -> None:
        self.calls: list[list[Word]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: ChatError | None = None
        self.under_way = self.attempts = 0

    async def tell(self, connections: Sequence[presence_rpc.Connection]) -> None:
        self.under_way += 1
        self.attempts += 1
        assert self.under_way == 1, "one call at a time"
        try:
            await self.gate.wait()
            if self.error is not None:
                raise self.error
            self.calls.append([(each.user_id, each.status) for each in connections])
        finally:
            self.under_way -= 1

    async def heard(self, words: int) -> list[Word]:
        async def all_of_them() -> list[Word]:
            return [word for call in self.calls for word in call]

        return await eventually(all_of_them, until=lambda found: len(found) >= words)


def _reports(
    presence: Presence, *, most: int = 100_000, metrics: Metrics | None = None, **times: float
) -> Reports:
    held = replace(Times(every_s=3600, gather_s=0.1, retry_s=2, last_s=5), **times)
    return Reports(presence.tell, metrics or Metrics(), held, most_waiting=most)


async def test_a_socket_is_told_as_it_comes_and_as_it_goes_and_of_several_words_the_last() -> None:
    presence = Presence()
    reports = _reports(presence)
    ada, bob = _session("ada"), _session("bob")
    reports.opened(ada)
    reports.opened(bob)
    assert await presence.heard(2) == [("ada", ONLINE), ("bob", ONLINE)]
    reports.ping(ada, away=True)
    reports.ping(ada, away=False)
    reports.closed(bob)
    reports.closed(bob)
    assert (await presence.heard(4))[2:] == [("ada", ONLINE), ("bob", OFFLINE)]
    assert len(presence.calls) == 2


async def test_a_sign_of_life_renews_only_when_it_is_time_and_a_change_at_once() -> None:
    presence = Presence()
    reports = _reports(presence)
    ada = _session()
    reports.opened(ada)
    await presence.heard(1)
    for _ in range(5):
        reports.alive(ada)
        reports.ping(ada, away=None)
        reports.ping(ada, away=False)
    reports.ping(ada, away=True)
    assert (await presence.heard(2))[1:] == [("ada", AWAY)]
    await reports.close()
    assert len(presence.calls) == 2

    always = _reports(presence, every_s=0)
    for count in (3, 4):
        always.alive(ada)
        assert (await presence.heard(count))[-1] == ("ada", AWAY)


async def test_who_looks_at_anothers_account_does_not_make_them_appear() -> None:
    presence = Presence()
    reports = _reports(presence)
    support, ada = _session("ada", impersonator="support"), _session("ada")
    reports.opened(support)
    reports.alive(support)
    reports.ping(support, away=True)
    reports.closed(support)
    reports.opened(ada)
    assert await presence.heard(1) == [("ada", ONLINE)]
    # A token that is exchanged for an impersonator's ends it.
    ada.principal = support.principal
    reports.ping(ada, away=True)
    assert (await presence.heard(2))[1:] == [("ada", OFFLINE)]
    await reports.close()
    assert len(presence.calls) == 2


async def test_a_socket_that_is_closed_says_nothing_more() -> None:
    presence = Presence()
    reports = _reports(presence)
    ada = _session()
    ada.closed = True
    reports.opened(ada)
    reports.ping(ada, away=True)
    reports.closed(ada)
    await reports.close()
    assert presence.attempts == 0


async def test_many_go_in_calls_of_a_thousand_one_at_a_time() -> None:
    presence = Presence()
    reports = _reports(presence)
    for number in range(2500):
        reports.opened(_session(f"user-{number}"))
    await presence.heard(2500)
    assert [len(call) for call in presence.calls] == [1000, 1000, 500]


async def test_while_presence_is_away_the_newest_words_wait() -> None:
    presence, metrics = Presence(), Metrics()
    presence.error = ChatError(Reason.UNAVAILABLE, "Away.")
    reports = _reports(presence, metrics=metrics, retry_s=0.01)
    stays, leaves = _session("stays"), _session("leaves")
    with capture_logs() as logs:
        reports.opened(stays)
        reports.opened(leaves)

        async def attempts() -> int:
            return presence.attempts

        await eventually(attempts, until=lambda number: number >= 3)
        reports.closed(leaves)
        presence.error = None
        assert sorted(await presence.heard(2)) == [("leaves", OFFLINE), ("stays", ONLINE)]
    assert [each["event"] for each in logs] == ["presence_not_reported"]

    def count(outcome: str) -> float:
        found = metrics.registry.get_sample_value("edge_presence_reports_total", {"outcome": outcome})
        return found or 0.0

    assert (count("told"), count("failed") >= 6) == (2, True)


async def test_after_a_failure_fewer_go_together() -> None:
    presence = Presence()
    presence.error = ChatError(Reason.UNAVAILABLE, "It took too long.")
    reports = _reports(presence, retry_s=0.01)
    for number in range(1600):
        reports.opened(_session(f"user-{number}"))

    async def attempts() -> int:
        return presence.attempts

    await eventually(attempts)
    presence.error = None
    await presence.heard(1600)
    sizes = [len(call) for call in presence.calls]
    assert sizes[0] in (500, 250, 125, 62, 50)
    assert sizes[1] == 1000


async def test_what_presence_refuses_is_not_said_again() -> None:
    presence = Presence()
    presence.error = ChatError(Reason.VALIDATION_FAILED, "No such word.")
    reports = _reports(presence)
    reports.opened(_session("ada"))

    async def attempts() -> int:
        return presence.attempts

    await eventually(attempts)
    presence.error = None
    reports.opened(_session("bob"))
    assert await presence.heard(1) == [("bob", ONLINE)]


async def test_what_waits_is_bounded_and_the_oldest_is_forgotten() -> None:
    presence = Presence()
    reports = _reports(presence, most=3)
    sessions = [_session(f"user-{number}") for number in range(5)]
    for session in sessions:
        reports.opened(session)
    reports.closed(sessions[4])
    assert await presence.heard(3) == [("user-2", ONLINE), ("user-3", ONLINE), ("user-4", OFFLINE)]


async def test_at_the_end_what_is_left_is_told_at_once() -> None:
    presence = Presence()
    reports = _reports(presence)
    sessions = [_session(f"user-{number}") for number in range(1500)]
    for session in sessions:
        reports.opened(session)
    await presence.heard(1500)
    for session in sessions:
        reports.closed(session)
    await reports.close()
    assert [status for call in presence.calls for _, status in call][1500:] == [OFFLINE] * 1500


@pytest.mark.parametrize("how", ["away", "silent"])
async def test_the_end_waits_for_a_bounded_time(how: str) -> None:
    presence = Presence()
    if how == "silent":
        presence.gate.clear()
    else:
        presence.error = ChatError(Reason.UNAVAILABLE, "Away.")
    reports = _reports(presence, last_s=0.2)
    reports.opened(_session())
    async with asyncio.timeout(5):
        await reports.close()
    await asyncio.sleep(0)
    assert (presence.attempts, presence.under_way) == (1, 0)
