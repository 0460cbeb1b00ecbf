"""One person with three devices over two edges, either of which is killed.

A system of this module's own: its edges are killed, and presence lapses sooner than for people.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from aiohttp import ClientSession, TCPConnector

from deploy.local.folders import open_temporary
from deploy.local.system import SERVICES, Edge, Parts, System
from tests.support.backing import MakeDatabase
from tests.support.live import Live
from tests.support.people import Json, Person, Town
from tests.support.waiting import eventually

TTL_S, PING_MS, TYPING_MS = 7.0, 2000, 2500


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pair(make_database: MakeDatabase, redis_url: str, amqp_url: str) -> AsyncIterator[System]:
    """A system with two edges."""
    database = await make_database()
    folder = open_temporary()
    overrides = {
        "presence_svc": {"PRESENCE_TTL_SECONDS": str(TTL_S), "PRESENCE_SWEEP_SECONDS": "0.5"},
        "edge_gateway": {
            "WS_PING_MS": str(PING_MS),
            "WS_PRESENCE_EVERY_MS": "1000",
            "WS_TYPING_MS": str(TYPING_MS),
            "WS_TYPING_EVERY_MS": "0",
            "READ_DEBOUNCE_MS": "300",
        },
    }
    databases = {service: await database.url(service) for service in SERVICES}
    system = System(folder, Parts(databases, redis_url=redis_url, amqp_url=amqp_url, overrides=overrides))
    try:
        await system.start()
        await system.add_edge()
        yield system
    finally:
        await system.stop()
        folder.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def town(pair: System) -> AsyncIterator[Town]:
    async with ClientSession(connector=TCPConnector(limit=0)) as http:
        yield Town(http, [edge.url for edge in pair.edges], pair.issuer_url)


@dataclass
class Device:
    """A device of somebody's, at one edge, which has a conversation on screen."""

    owner: Person
    where: str
    edge: Edge
    live: Live
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    @classmethod
    async def turned_on(cls, owner: Person, where: str, edge: Edge, cursor: str | None = None) -> Device:
        """Connected, and told who is here."""
        stack = AsyncExitStack()
        live = await stack.enter_async_context(owner.live(edge.url, cursor=cursor))
        device = cls(owner, where, edge, live, stack)
        await live.say(type="conversation.open", id="open", conversationId=where)
        await live.frame("ack", lambda frame: frame["replyTo"] == "open")
        return device

    async def back_at(self, edge: Edge) -> Device:
        """The same device, which has lost its edge and comes back to another."""
        await self.off()
        return await Device.turned_on(self.owner, self.where, edge, self.live.cursor)

    async def off(self) -> None:
        """Closed properly."""
        await self._stack.aclose()

    def seen(self) -> int:
        """How many frames it has had: what comes later is news."""
        return len(self.live.frames)

    async def news(self, after: int, name: str, such: Callable[[Json], bool] = lambda _frame: True) -> Json:
        """The first frame of that type after so many, waited for."""
        old = {id(frame) for frame in self.live.frames[:after]}
        return await self.live.frame(name, lambda frame: id(frame) not in old and such(frame))

    def presence_of(self, person: Person) -> list[str]:
        """All that it was told, in order."""
        return [
            frame["data"]["status"]
            for frame in self.live.frames
            if frame["type"] == "presence.updated" and frame["data"]["userId"] == person.user_id
        ]

    def saw_leave(self, person: Person) -> bool:
        """Whether it was told that somebody who was here is not any more."""
        told = self.presence_of(person)
        return "offline" in told[told.index("online") :]

    async def shows(self, person: Person, status: str) -> None:
        """Waits until that is what it was told last."""

        async def last() -> str | None:
            return next(reversed(self.presence_of(person)), None)

        await eventually(last, until=lambda shown: shown == status, within=30)


async def agree(own: list[Device], theirs: list[Device], text: str) -> None:
    """A message, a read mark and some typing: each device of both people shows the same of it.

    `own` are the devices of one person, `theirs` those of the other. Raises AssertionError when they do not.
    """
    ada, bob, where = own[0].owner, theirs[0].owner, own[0].where
    before = {id(each): each.seen() for each in (*own, *theirs)}
    at = bob.at(theirs[0].edge.url)
    sent = await at.send(where, text)
    assert sent.status == 201, sent.raw
    seq = sent.body["seq"]
    for each in (*own, *theirs):
        await each.live.frame("message.created", lambda frame: frame["data"]["message"]["seq"] == seq)

    await own[-1].live.say(type="read.receipt", id=f"read-{seq}", conversationId=where, lastReadSeq=seq)
    await own[-1].live.frame("ack", lambda frame: frame["replyTo"] == f"read-{seq}")
    totals = []
    for each in own:
        mine = await each.news(
            before[id(each)],
            "conversation.updated",
            lambda frame: frame["data"]["self"]["lastReadSeq"] == seq,
        )
        assert mine["data"]["self"]["unreadCount"] == 0
        totals.append(mine["data"]["unread"])
    assert totals == [await ada.at(each.edge.url).unread() for each in own]
    for each in theirs:
        receipt = await each.news(
            before[id(each)], "read.receipt", lambda frame: frame["data"]["lastReadSeq"] == seq
        )
        assert receipt["data"]["userId"] == ada.user_id

    for name in ("typing.started", "typing.stopped"):
        await own[0].live.say(type=name, conversationId=where)
        for each in theirs:
            frame = await each.news(before[id(each)], name)
            assert frame["data"]["userId"] == ada.user_id
    for each in own:
        assert not [frame for frame in each.live.frames if frame["type"].startswith("typing.")]
        await each.shows(bob, "online")
    for each in theirs:
        await each.shows(ada, "online")


@pytest.mark.parametrize("which", [0, 1], ids=["the first edge", "the second edge"])
async def test_devices_of_one_person_agree_through_the_death_of(pair: System, town: Town, which: int) -> None:
    dies, stays = pair.edges[which], pair.edges[1 - which]
    ada, bob, where = await town.talking()
    carol, dan, elsewhere = await town.talking()
    phone, desk, laptop = [await Device.turned_on(ada, where, edge) for edge in (dies, dies, stays)]
    bobs = [await Device.turned_on(bob, where, edge) for edge in (dies, stays)]
    carols = await Device.turned_on(carol, elsewhere, dies)
    dans = await Device.turned_on(dan, elsewhere, stays)
    try:
        await agree([phone, desk, laptop], bobs, "all are here")
        await dans.shows(carol, "online")
        await carols.live.say(type="typing.started", conversationId=elsewhere)
        await dans.live.frame("typing.started")

        pair.kill(dies.program.name)
        killed_at = time.monotonic()
        for each in (phone, desk, bobs[0], carols):
            await each.live.closed()
        # While they are away something is said, which is not lost on them.
        meanwhile = await bob.at(stays.url).send(where, "meanwhile")
        assert meanwhile.status == 201
        phone, desk = await phone.back_at(stays), await desk.back_at(stays)
        bobs[0] = await bobs[0].back_at(stays)
        for each in (phone, desk):
            assert each.live.welcome["resumed"]
            assert each.live.welcome["unread"]["messages"] == 1
            await each.live.frame(
                "message.created", lambda frame: frame["data"]["message"]["text"] == "meanwhile"
            )
        await agree([phone, desk, laptop], bobs, "back again")

        # Carol does not come back: she has stopped typing, and is gone in time.
        stopped = await dans.live.frame("typing.stopped")
        assert stopped["data"]["userId"] == carol.user_id
        await dans.shows(carol, "offline")
        assert time.monotonic() - killed_at <= TTL_S + 5

        await pair.restart(dies.program.name)
        phone, bobs[1] = await phone.back_at(dies), await bobs[1].back_at(dies)
        carols = await Device.turned_on(carol, elsewhere, dies)
        await agree([desk, laptop, phone], bobs, "over both again")
        await dans.shows(carol, "online")
        assert dans.presence_of(carol)[-3:] == ["online", "offline", "online"]
        assert dans.presence_of(carol).count("online") == 2
        # Whoever has another device was here all the time.
        for each in (desk, laptop, phone):
            assert not each.saw_leave(bob)
        for each in bobs:
            assert not each.saw_leave(ada)
    finally:
        for each in (phone, desk, laptop, *bobs, carols, dans):
            await each.off()
        if pair.programs[dies.program.name].running.exit_code() is not None:
            await pair.restart(dies.program.name)
