"""People of the privacy table in a running system: its conversations, each watched from both ends.

Three people start conversations, one of each role. For each state and role there is somebody with whom they
start this one and no other, because presence is told of people, not of conversations.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import count

import redis.asyncio as redis

from servicekit.ids import new_id
from servicekit.outbox.events import RealtimeEvent
from servicekit.realtime import EVERYBODY, encode_frame
from tests.support.live import Live
from tests.support.people import Json, Person, Reply, Town, new_message
from tests.support.privacy import ROLES, STATES, Cell, is_of, pairs
from tests.support.waiting import eventually

AT_ONCE = 12
"""Calls of a test at a time."""


@dataclass(eq=False)
class Soul:
    """A person with one socket, on which all their conversations are open."""

    person: Person
    role: str
    side: str
    live: Live
    earlier: list[Json] = field(default_factory=list)
    """Frames of parts of the test that are over."""

    @property
    def id(self) -> str:
        return self.person.user_id

    @property
    def frames(self) -> list[Json]:
        """Those of this part."""
        return self.live.frames

    @property
    def all_frames(self) -> list[Json]:
        return self.earlier + self.live.frames

    def turn_page(self) -> None:
        """What came so far belongs to the part before."""
        self.earlier += self.live.frames
        self.live.frames.clear()

    async def ask(self, **frame: object) -> None:
        """Says it and waits for the acknowledgement; what is busy is asked again."""

        async def once() -> Json:
            name = uuid.uuid4().hex
            await self.live.say(**frame, id=name)
            return await self.live.reply(name)

        reply = await eventually(once, until=lambda each: each["type"] == "ack" or not _busy(each["problem"]))
        assert reply["type"] == "ack", reply

    async def do(
        self, method: str, template: str, body: object = None, *, query: str = "", **path: str
    ) -> Json:
        """The body of an answer that is no refusal; what is busy is asked again."""

        async def once() -> Reply:
            return await self.person.request(method, template, body, query=query, headers=None, **path)

        reply = await eventually(once, until=lambda each: each.status < 400 or not _busy(each.body))
        assert reply.status < 300, reply.raw
        body_of: Json = reply.body
        return body_of


@dataclass(eq=False)
class Talk:
    """A conversation of two."""

    initiator: Soul
    recipient: Soul
    state: str
    where: str

    def ways(self) -> Iterator[tuple[Soul, Soul]]:
        """(who looks, at whom)."""
        yield self.initiator, self.recipient
        yield self.recipient, self.initiator

    def cell(self, shows: str, blocks: str) -> Cell:
        return Cell(self.initiator.role, self.recipient.role, self.state, shows, blocks)


async def all_of(calls: Iterable[Awaitable[object]]) -> None:
    """Awaits them, a few at a time."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(call: Awaitable[object]) -> None:
        async with turn:
            await call

    await asyncio.gather(*(one(call) for call in calls))


class World:
    """All of them, and who shows and blocks what now."""

    def __init__(self, marker: redis.Redis, talks: list[Talk]) -> None:
        self._marker = marker
        self.talks = talks
        self.souls = list(dict.fromkeys(soul for talk in talks for soul in (talk.initiator, talk.recipient)))
        self.shows = "both"
        self.blocks = "neither"
        self._notices = count(1)

    def side(self, side: str) -> list[Soul]:
        return [soul for soul in self.souls if soul.side == side]

    @property
    def active(self) -> list[Talk]:
        return [talk for talk in self.talks if talk.state == "active"]

    async def switch(self, *, shows: str, blocks: str) -> None:
        """Changes settings and blocks; returns once all is answered."""
        for side in ("initiator", "recipient"):
            if is_of(side, shows) != is_of(side, self.shows):
                settings = dict.fromkeys(("readReceipts", "typingIndicators", "presence"), is_of(side, shows))
                await all_of(soul.do("PATCH", "/me/settings", settings) for soul in self.side(side))
            if is_of(side, blocks) != is_of(side, self.blocks):
                verb = "PUT" if is_of(side, blocks) else "DELETE"
                await all_of(
                    blocker.do(verb, "/blocks/{userId}", userId=blocked.id)
                    for talk in self.talks
                    for blocker, blocked in talk.ways()
                    if blocker.side == side
                )
        self.shows, self.blocks = shows, blocks

    async def settle(self) -> None:
        """Returns once every socket was told all that was published on any channel before this call.

        An edge hears all its channels over one connection, in their order.
        """
        number = str(next(self._notices))
        data = {"noticeId": number, "code": "announcement", "severity": "info", "text": number}
        event = RealtimeEvent(new_id(), "system.notice", (), None, {}, datetime.now(UTC), data)
        await self._marker.publish(EVERYBODY, encode_frame(event))
        for soul in self.souls:
            await soul.live.frame("system.notice", lambda each: each["data"]["noticeId"] == number)

    def turn_page(self) -> None:
        for soul in self.souls:
            soul.turn_page()


def _busy(problem: Json) -> bool:
    return bool(problem["code"] == "unavailable")


async def make_world(
    stack: AsyncExitStack,
    town: Town,
    sides: dict[str, str],
    marker: redis.Redis,
    expire: Callable[[list[str]], Awaitable[None]],
) -> World:
    """Everybody, each at the edge of their side (its URL). `expire` makes the time of requests be over."""
    makers = [("initiator", role, "") for role in ROLES]
    makers += [("recipient", role, state) for role in ROLES for state in STATES]
    souls: dict[tuple[str, str, str], Soul] = {}

    async def make(side: str, role: str, state: str) -> None:
        person = (await town.person(role)).at(sides[side])
        person.checked = False  # by the thousand; others look at their shapes
        live = await stack.enter_async_context(person.live())
        souls[side, role, state] = Soul(person, role, side, live)

    await all_of(make(*each) for each in makers)
    talks: list[Talk] = []

    async def talk(initiator: Soul, recipient: Soul, state: str) -> None:
        start = {"recipientId": recipient.id, "message": new_message("hello")}
        where = (await initiator.do("POST", "/conversations", start))["conversation"]["id"]
        answer = {
            "active": (recipient, "accept"),
            "declined": (recipient, "decline"),
            "withdrawn": (initiator, "withdraw"),
        }.get(state)
        if answer is not None:
            who, verb = answer
            await who.do("POST", f"/conversations/{{id}}/{verb}", id=where)
        talks.append(Talk(initiator, recipient, state, where))

    await all_of(
        talk(souls["initiator", initiator, ""], souls["recipient", recipient, state], state)
        for initiator, recipient in pairs()
        for state in STATES
    )
    expiring = [each for each in talks if each.state == "expired"]
    await expire([each.where for each in expiring])

    async def ended(talk: Talk) -> None:
        await eventually(
            partial(talk.initiator.do, "GET", "/conversations/{id}", id=talk.where),
            until=lambda view: view["state"] == "expired",
        )

    await all_of(ended(each) for each in expiring)
    await all_of(
        who.ask(type="conversation.open", conversationId=each.where)
        for each in talks
        for who, _ in each.ways()
    )
    return World(marker, talks)
