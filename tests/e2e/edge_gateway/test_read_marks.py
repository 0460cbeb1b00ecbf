"""Read marks over sockets, of somebody with several devices."""

from __future__ import annotations

import asyncio

from deploy.local.system import System
from tests.support.live import Live
from tests.support.people import Person, Town


async def _mark(live: Live, where: str, seq: int) -> None:
    await live.say(type="read.receipt", id=f"mark-{seq}", conversationId=where, lastReadSeq=seq)


async def _acknowledged(live: Live, seq: int) -> None:
    await live.frame("ack", lambda frame: frame["replyTo"] == f"mark-{seq}")


async def _last_read(person: Person, where: str) -> int:
    seq: int = (await person.view(where))["lastReadSeq"]
    return seq


async def test_of_two_devices_that_mark_at_once_the_higher_stands_on_all(town: Town) -> None:
    recruiter, candidate, where = await town.talking()
    for number in range(2, 6):
        assert (await recruiter.send(where, f"number {number}")).status == 201
    async with recruiter.live() as sender, candidate.live() as desk, candidate.live() as phone:
        await _mark(desk, where, 1)
        await _acknowledged(desk, 1)
        await asyncio.gather(_mark(desk, where, 5), _mark(phone, where, 3))
        await asyncio.gather(_acknowledged(desk, 5), _acknowledged(phone, 3))
        assert await _last_read(candidate, where) == 5
        for live in (desk, phone):
            await live.frame("conversation.updated", lambda frame: frame["data"]["self"]["lastReadSeq"] == 5)
        await sender.frame("read.receipt", lambda frame: frame["data"]["lastReadSeq"] == 5)
        told = [frame["data"]["lastReadSeq"] for frame in sender.frames if frame["type"] == "read.receipt"]
        # Each edge gathers for itself: the lower mark may be told, but before the higher one.
        assert told == sorted(told)
        assert told[-1] == 5


async def test_who_reads_and_leaves_has_read(town: Town) -> None:
    recruiter, candidate, where = await town.talking()
    for number in range(2, 4):
        assert (await recruiter.send(where, f"number {number}")).status == 201
    async with recruiter.live() as sender:
        async with candidate.live() as leaves:
            for seq in (1, 2, 3):
                await _mark(leaves, where, seq)
        await sender.frame("read.receipt", lambda frame: frame["data"]["lastReadSeq"] == 3)
        assert await _last_read(candidate, where) == 3


async def test_a_killed_edge_takes_no_mark_with_it_that_was_acknowledged(system: System, town: Town) -> None:
    dies, other = system.edges[1], system.edges[0]
    recruiter, candidate, where = await town.talking()
    recruiter, candidate = recruiter.at(other.url), candidate.at(other.url)  # which stays
    for number in range(2, 8):
        assert (await recruiter.send(where, f"number {number}")).status == 201
    try:
        async with candidate.live(dies.url) as live:
            await _mark(live, where, 1)
            await _acknowledged(live, 1)
            for seq in (2, 3, 4):
                await _mark(live, where, seq)
            await _acknowledged(live, 4)
            for seq in (5, 6):
                await _mark(live, where, seq)
            system.kill(dies.program.name)
            await live.closed()
            acknowledged = [frame["replyTo"] for frame in live.frames if frame["type"] == "ack"]
        assert acknowledged == [f"mark-{seq}" for seq in (1, 2, 3, 4)]
        async with candidate.live(other.url) as live:
            stands = {each["conversationId"]: each["lastReadSeq"] for each in live.welcome["watchList"]}
            assert stands[where] in (4, 5, 6)
            await _mark(live, where, 6)
            await _acknowledged(live, 6)
        assert await _last_read(candidate, where) == 6
    finally:
        await system.restart(dies.program.name)
