"""Who is revoked or banned while their socket is on its way into the hub, or in it."""

from __future__ import annotations

import asyncio
import time
from typing import cast

import pytest

from edge_gateway.metrics import Metrics
from edge_gateway.sockets.codes import Close
from edge_gateway.sockets.hub import Hub
from edge_gateway.sockets.hydration import Hydration
from edge_gateway.sockets.pace import Paces
from edge_gateway.sockets.session import Session
from edge_gateway.sockets.wheel import Wheel
from edge_gateway.tokens.access import Access, Table
from edge_gateway.tokens.guard import Guard
from edge_gateway.tokens.issuers import Actor
from edge_gateway.tokens.verifier import Principal, TokenVerifier
from servicekit.clock import SystemClock
from servicekit.identity import ActingUser

NOW = int(time.time())


class Channels:
    """Confirms a subscription when it is told to."""

    connected = True

    def __init__(self) -> None:
        self.confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def subscribe(self, _channel: str) -> asyncio.Future[None]:
        return self.confirmed

    def unsubscribe(self, _channel: str) -> None:
        """Nothing is kept of it."""


class House:
    """A hub, and the table it goes by."""

    def __init__(self) -> None:
        self.table, self.channels = Table(), Channels()
        access = Access()
        access.use(self.table)
        guard = Guard(TokenVerifier([], {}, clock=SystemClock(), remembered=1), access, SystemClock())
        nothing_waits = cast("Hydration", None)
        self.hub = Hub(
            nothing_waits,
            guard,
            Metrics(),
            SystemClock(),
            max_ephemeral=1024,
            max_announced=1024,
            max_held=10,
        )
        self.hub.use(self.channels)

    def session(self, user_id: str = "ada", sid: str = "s1", *, actor: str | None = None) -> Session:
        async def handle(_session: Session, _payload: bytes) -> None:
            raise AssertionError("nobody says anything")

        return Session(
            self.principal(user_id, sid, actor),
            clock=SystemClock(),
            hydration=cast("Hydration", None),
            max_held=10,
            max_age_s=60,
            paces=Paces(None, None),
            handle=handle,
            on_end=self.hub.leave,
            on_sign=lambda _session: None,
            alarms=Wheel(60),
        )

    def principal(self, user_id: str, sid: str, actor: str | None) -> Principal:
        user = ActingUser(user_id, "recruiter", session_id=sid, impersonator=actor)
        return Principal(user, NOW + 600, NOW, None if actor is None else Actor(actor, None))


async def test_what_changed_between_the_look_at_the_token_and_the_hub_ends_the_session() -> None:
    house = House()
    session = house.session()
    house.table.end_session("ada", "s1")
    house.hub.look_over(["ada"])  # it is not there to be found
    assert session.ended_with is None
    house.channels.confirmed.set_result(None)
    await house.hub.join(session)
    assert session.ended_with is Close.SESSION_REVOKED


async def test_what_changes_while_its_channel_is_being_confirmed_ends_the_session() -> None:
    house = House()
    session = house.session()
    joining = asyncio.create_task(house.hub.join(session))
    await asyncio.sleep(0)
    house.table.ban("ada", None)
    house.hub.look_over(["ada"])
    assert session.ended_with is Close.BANNED
    house.channels.confirmed.set_result(None)
    await joining
    assert session.ended_with is Close.BANNED


@pytest.mark.parametrize("whom", [["ada", "nobody"], None])
async def test_only_sessions_that_are_not_let_in_any_more_are_ended(whom: list[str] | None) -> None:
    house = House()
    house.channels.confirmed.set_result(None)
    lost, kept, other = house.session(sid="lost"), house.session(sid="kept"), house.session("bob")
    for each in (lost, kept, other):
        await house.hub.join(each)
    house.table.end_session("ada", "lost")
    house.hub.look_over(whom)
    assert [each.ended_with for each in (lost, kept, other)] == [Close.SESSION_REVOKED, None, None]


@pytest.mark.parametrize("whom", [["support"], None])
async def test_sessions_are_of_those_too_who_act_in_them(whom: list[str] | None) -> None:
    house = House()
    house.channels.confirmed.set_result(None)
    acting = [house.session(each, actor="support") for each in ("ada", "bob")]
    gone, colleague = house.session("cy", actor="support"), house.session("ada", actor="colleague")
    own, support = house.session("ada"), house.session("support")
    for each in (*acting, gone, colleague, own, support):
        await house.hub.join(each)
    house.hub.leave(gone)
    house.hub.leave(gone)
    house.table.ban("support", None)
    house.hub.look_over(["nobody"])
    assert acting[0].ended_with is None
    house.hub.look_over(whom)
    assert [each.ended_with for each in (*acting, support)] == [Close.BANNED] * 3
    assert [each.ended_with for each in (gone, colleague, own)] == [None] * 3


async def test_a_ban_of_who_acts_while_the_channel_is_being_confirmed_ends_the_session() -> None:
    house = House()
    session = house.session(actor="support")
    joining = asyncio.create_task(house.hub.join(session))
    await asyncio.sleep(0)
    house.table.ban("support", None)
    house.hub.look_over(["support"])
    assert session.ended_with is Close.BANNED
    house.channels.confirmed.set_result(None)
    await joining


async def test_a_refreshed_session_is_of_who_acts_in_its_latest_token() -> None:
    house = House()
    house.channels.confirmed.set_result(None)
    to, fro, late = house.session(), house.session(actor="support"), house.session()
    for each in (to, fro, late):
        await house.hub.join(each)
    late.on_closing()
    for each, actor in ((to, "support"), (fro, None), (late, "support")):
        house.hub.renew(each, house.principal("ada", "s1", actor))
    house.table.ban("support", None)
    house.hub.look_over(["support"])
    assert [each.ended_with for each in (to, fro, late)] == [Close.BANNED, None, None]
