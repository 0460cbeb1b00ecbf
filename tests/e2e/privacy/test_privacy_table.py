"""Every cell of the privacy table, over REST and over sockets on two edges."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tests.support.people import Json, new_message
from tests.support.privacy import SIDES, Presence, Receipt, Typing
from tests.support.privacy_world import Soul, Talk, World, all_of
from tests.support.waiting import eventually

UNSEEN = {"status": "offline", "lastSeenAt": None}


def steps() -> Iterator[tuple[str, str]]:
    """(who shows, who blocks): every row and column, one change a step; then the first again: nothing sticks.

    The column without a block comes first, so that what was given before it is the same in all others.
    """
    for number, blocks in enumerate(("neither", "initiator", "both", "recipient")):
        rows = ("both", "initiator", "neither", "recipient")
        for shows in rows if number % 2 == 0 else reversed(rows):
            yield shows, blocks
    yield "both", "neither"


STEPS = list(steps())
"""Each has a mark of its own, its number: what both of a conversation have read up to."""
BEFORE_BLOCKS = len(SIDES)
"""The mark that stood when the first block was made."""
UNDER_BLOCKS = len(STEPS) - 1
"""The mark that stood when the last one was lifted."""


def test_every_cell_has_its_step(world: World) -> None:
    assert set(STEPS) == {(shows, blocks) for shows in SIDES for blocks in SIDES}
    assert len({str(talk.cell(*step)) for talk in world.talks for step in STEPS}) == 8 * 5 * 16


async def test_the_world_is_as_the_table_has_it(world: World) -> None:
    async def look(talk: Talk) -> None:
        real = await talk.initiator.do("GET", "/conversations/{id}", id=talk.where)
        assert real["state"] == ("request" if talk.state == "declined" else talk.state)

    await all_of(look(talk) for talk in world.talks)


async def test_every_cell(world: World) -> None:
    await all_of(
        talk.initiator.do("POST", "/conversations/{id}/messages", new_message(str(number)), id=talk.where)
        for number in range(len(STEPS))
        for talk in world.active
    )
    for number, (shows, blocks) in enumerate(STEPS, start=1):
        await world.switch(shows=shows, blocks=blocks)
        await world.settle()
        world.turn_page()
        status = "away" if number % 2 else "online"
        await check_presence(world, status)
        await check_typing(world)
        await check_receipts(world, number)
        await world.settle()
        check_nothing_else_was_told(world)
    check_receipts_told(world)


async def check_typing(world: World) -> None:
    """Everybody types everywhere, until all who may see it do, and stops; nobody else hears of it.

    A stop follows the rule of the start before it: of settings, only the row where both show it is tried.
    """
    expected = {
        (viewer.id, talk.where, other.id)
        for talk in world.talks
        if talk.cell(world.shows, world.blocks).sight.typing is Typing.SHOWN
        for viewer, other in talk.ways()
    }

    async def start() -> set[tuple[str, str, str]]:
        await say(world, "typing.started")
        return await heard(world, "typing.started")

    # More than once: it is left out while a screen is asked about anew.
    assert await eventually(start, until=lambda found: found >= expected) == expected
    if world.shows == "both":
        await say(world, "typing.stopped")
    assert await heard(world, "typing.stopped") == expected


async def heard(world: World, said: str) -> set[tuple[str, str, str]]:
    """(who was told, of which conversation, that who typed) in this step."""
    await world.settle()
    return {
        (soul.id, frame["conversationId"], frame["data"]["userId"])
        for soul in world.souls
        for frame in soul.frames
        if frame["type"] == said
    }


async def say(world: World, said: str) -> None:
    await all_of(
        soul.ask(type=said, conversationId=talk.where) for talk in world.talks for soul, _ in talk.ways()
    )


async def check_presence(world: World, status: str) -> None:
    """Everybody is here in another way than before: who may see it is told, and reads it."""
    for soul in world.souls:
        await soul.ask(type="presence.ping", status=status)
    await all_of(check_presence_read(world, soul, status) for soul in world.souls)
    for talk in world.active:
        if talk.cell(world.shows, world.blocks).sight.presence is Presence.SHOWN:
            for viewer, other in talk.ways():
                await viewer.live.frame("presence.updated", partial(_is, other.id, status))


def _is(user_id: str, status: str, frame: Json) -> bool:
    return (frame["data"]["userId"], frame["data"]["status"]) == (user_id, status)


async def check_presence_read(world: World, viewer: Soul, status: str) -> None:
    """`GET /v1/presence` of everybody."""
    others = [soul for soul in world.souls if soul is not viewer]
    query = f"?userIds={','.join(soul.id for soul in others)}"
    sights = presence_of(world, viewer)
    expected = [
        (other.id, status if sights[other.id] is Presence.SHOWN else "offline")
        for other in others
        if sights.get(other.id, Presence.LEFT_OUT) is not Presence.LEFT_OUT
    ]

    async def read() -> list[Json]:
        items: list[Json] = (await viewer.do("GET", "/presence", query=query))["items"]
        return items

    items = await eventually(
        read, until=lambda found: [(each["userId"], each["status"]) for each in found] == expected
    )
    for each in items:
        if sights[each["userId"]] is Presence.OFFLINE:
            assert each == {"userId": each["userId"], **UNSEEN}
        else:
            assert each["lastSeenAt"]


def presence_of(world: World, viewer: Soul) -> dict[str, Presence]:
    """What the viewer may see of whom, by the table."""
    return {
        other.id: talk.cell(world.shows, world.blocks).sight.presence
        for talk in world.talks
        for who, other in talk.ways()
        if who is viewer
    }


async def check_receipts(world: World, mark: int) -> None:
    """Both read up to `mark`; where nobody could write more there is just one message."""

    async def read(who: Soul, talk: Talk) -> None:
        await who.do("PUT", "/conversations/{id}/read", {"lastReadSeq": mark}, id=talk.where)

    async def look(viewer: Soul, other: Soul, talk: Talk) -> None:
        view = await viewer.do("GET", "/conversations/{id}", id=talk.where)
        marks = {each["user"]["id"]: each["lastReadSeq"] for each in view["participants"]}
        cell = talk.cell(world.shows, world.blocks)
        expected = {Receipt.SHOWN: mark, Receipt.AS_BEFORE: BEFORE_BLOCKS, Receipt.HIDDEN: None}
        assert marks[other.id] == expected[cell.sight.receipt], str(cell)
        assert marks[viewer.id] == min(mark, view["lastSeq"]), str(cell)

    everywhere = [(talk, *way) for talk in world.talks for way in talk.ways()]
    unread = everywhere if mark == 1 else [each for each in everywhere if each[0].state == "active"]
    await all_of(read(viewer, talk) for talk, viewer, _ in unread)
    await all_of(look(viewer, other, talk) for talk, viewer, other in everywhere)


def check_nothing_else_was_told(world: World) -> None:
    """In this step: presence of nobody who is hidden but that they are gone."""
    for viewer in world.souls:
        sights = presence_of(world, viewer)
        for frame in viewer.frames:
            if frame["type"] != "presence.updated":
                continue
            about = frame["data"]["userId"]
            sight = sights.get(about, Presence.LEFT_OUT)
            assert sight is not Presence.LEFT_OUT
            assert sight is Presence.SHOWN or frame["data"] == {"userId": about, **UNSEEN}


def check_receipts_told(world: World) -> None:
    """All in all: each mark that was shown, and, as it stood, when a block or hiding ended; no other."""
    for talk in world.talks:
        shown = {
            number
            for number, step in enumerate(STEPS, start=1)
            if talk.cell(*step).sight.receipt is Receipt.SHOWN
        }
        for viewer, other in talk.ways():
            told = {
                frame["data"]["lastReadSeq"]
                for frame in viewer.all_frames
                if frame["type"] == "read.receipt"
                and frame["conversationId"] == talk.where
                and frame["data"]["userId"] == other.id
            }
            assert shown <= told
            assert told <= shown | ({BEFORE_BLOCKS, UNDER_BLOCKS} if shown else set())
