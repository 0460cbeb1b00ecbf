"""Sockets that drop and come back: they get exactly what they missed, or are brought to the truth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest_asyncio
import redis.asyncio as redis
from aiohttp import ClientSession, TCPConnector

from deploy.local.folders import open_temporary
from deploy.local.redis import Redis
from deploy.local.system import SERVICES, Parts, System
from servicekit.realtime import stream_key
from tests.support.backing import MakeDatabase
from tests.support.live import Live
from tests.support.people import Json, Person, Town
from tests.support.waiting import eventually


async def left_at(person: Person) -> str:
    """Comes, sees that all is told, and goes with a cursor."""
    async with person.live() as live:
        assert live.cursor is not None
        return live.cursor


@asynccontextmanager
async def back(person: Person, cursor: str) -> AsyncIterator[Live]:
    async with person.live(cursor=cursor) as live:
        yield live


async def test_a_socket_that_comes_back_gets_exactly_what_it_missed(town: Town) -> None:
    recruiter, candidate, where = await town.talking()
    async with candidate.live() as live:
        await recruiter.send(where, "seen")
        await live.frame("message.created")
        cursor = live.cursor
    assert cursor is not None
    # All that can happen while one device is away and another one is there.
    async with candidate.live() as other:
        missed = [(await recruiter.send(where, f"m{number}")).body for number in range(3)]
        await recruiter.edit(missed[0], "edited")
        await candidate.request("PUT", "/conversations/{id}/read", {"lastReadSeq": 4}, id=where)
        await recruiter.request("PUT", "/conversations/{id}/read", {"lastReadSeq": 5}, id=where)
        await candidate.flag(where, muted=True)
        stranger = await town.person("company")
        await candidate.request("PUT", "/blocks/{userId}", userId=stranger.user_id)
        await candidate.request("DELETE", "/blocks/{userId}", userId=stranger.user_id)
        happened = ["message.created"] * 3 + ["message.updated"] + ["read.receipt"] * 2
        happened += ["conversation.updated"] * 2 + ["block.created", "block.removed"]
        # Of two services: the last that was done need not be the last that is told.
        await eventually(_count(other, *happened), until=lambda count: count >= len(happened))
        lived = other.frames[2:]
        assert sorted(frame["type"] for frame in lived) == sorted(happened)
        async with back(candidate, cursor) as live:
            assert live.welcome["resumed"] is True
            assert "reason" not in live.welcome
            assert [frame["eventId"] for frame in live.replayed] == [frame["eventId"] for frame in lived]
            assert [frame["cursor"] for frame in live.replayed] == [frame["cursor"] for frame in lived]
            # Each is about what it was about, as that stands now.
            for frame, then in zip(live.replayed, lived, strict=True):
                assert (frame["type"], frame["occurredAt"]) == (then["type"], then["occurredAt"])
                if frame["type"].startswith("message."):
                    assert frame["data"]["message"]["id"] == then["data"]["message"]["id"]
                elif frame["type"].startswith("conversation."):
                    assert frame["data"]["self"]["muted"] is True
                else:
                    assert frame["data"] == then["data"]
            texts = {
                frame["data"]["message"]["text"] for frame in live.replayed if "message" in frame["data"]
            }
            assert texts == {"edited", "m1", "m2"}
            assert [row["conversationId"] for row in live.welcome["watchList"]] == [where]
            assert live.welcome["unread"] == await candidate.unread()
            # And from there on it is live, on both devices.
            await recruiter.send(where, "now")
            for device in (live, other):
                await device.frame("message.created", lambda frame: frame["data"]["message"]["text"] == "now")
            again = live.cursor
    assert again is not None
    async with back(candidate, again) as live:
        assert (live.welcome["resumed"], live.replayed) == (True, [])


async def test_a_text_redacted_meanwhile_is_nowhere_in_what_is_told(town: Town) -> None:
    recruiter, candidate, where = await town.talking()
    cursor = await left_at(candidate)
    sent = (await recruiter.send(where, "a secret nobody is to see")).body
    async with candidate.live() as present:
        other = (await recruiter.send(where, "another")).body
        assert (await recruiter.redact(sent)).status == 200
        await present.frame("message.created", lambda frame: frame["data"]["message"]["seq"] == other["seq"])
    async with back(candidate, cursor) as live:
        assert live.welcome["resumed"] is True
        told = orjson.dumps(live.frames)
        assert b"a secret" not in told
        assert b"another" in told
        created = [frame["data"]["message"] for frame in live.replayed if frame["type"] == "message.created"]
        assert [(each["id"], each["text"]) for each in created] == [
            (sent["id"], ""),
            (other["id"], "another"),
        ]


async def test_a_replay_that_begins_after_a_redaction_was_answered_has_nothing_of_it(town: Town) -> None:
    recruiter, candidate, where = await town.talking()
    cursor = await left_at(candidate)
    sent = [(await recruiter.send(where, f"secret {number}.")).body for number in range(8)]
    done = [False] * len(sent)

    async def come_and_look() -> set[int]:
        before = {number for number in range(len(sent)) if done[number]}
        async with back(candidate, cursor) as live:
            told = orjson.dumps(live.frames)
            assert live.welcome["resumed"] is True
        return {number for number in before if f"secret {number}.".encode() in told}

    async def redact_one(number: int) -> None:
        await asyncio.sleep(number * 0.15)  # so that answers and replays interleave
        assert (await recruiter.redact(sent[number])).status == 200
        done[number] = True

    redacting = asyncio.gather(*(redact_one(number) for number in range(len(sent))))
    rounds = 0
    while rounds < 20 or not (redacting.done() or rounds == 200):  # people may connect 300 times a minute
        assert await come_and_look() == set()
        rounds += 1
    await redacting
    assert await come_and_look() == set()


async def test_drops_at_any_moment_lose_and_double_nothing(town: Town, system: System) -> None:
    recruiter, candidate, where = await town.talking()
    cursor = await left_at(candidate)
    done = asyncio.Event()

    async def send() -> list[int]:
        try:
            return [(await recruiter.send(where, f"m{number}")).body["seq"] for number in range(60)]
        finally:
            done.set()

    sending = asyncio.create_task(send())
    seen: list[Json] = []
    while True:
        last_round = done.is_set()
        async with back(candidate, cursor) as live:
            assert live.welcome["resumed"] is True
            before = len(live.frames)
            if last_round:
                last = (await sending)[-1]
                if last not in map(seq_of, seen):  # it was answered, and may yet have to be told
                    await live.frame("message.created", lambda frame: seq_of(frame) == last)  # noqa: B023 - awaited
            else:
                await eventually(_more(live, before), until=lambda more: more or done.is_set())
        seen += [frame for frame in live.frames if frame["type"] == "message.created"]
        cursor = live.cursor or cursor
        if last_round:
            break
    assert [seq_of(frame) for frame in seen] == await sending
    assert len({frame["eventId"] for frame in seen}) == len(seen)


def seq_of(frame: Json) -> int:
    seq: int = frame["data"]["message"]["seq"]
    return seq


def _count(live: Live, *names: str) -> Callable[[], Awaitable[int]]:
    async def count() -> int:
        return sum(frame["type"] in names for frame in live.frames)

    return count


def _more(live: Live, before: int) -> Callable[[], Awaitable[bool]]:
    async def more() -> bool:
        return len(live.frames) > before

    return more


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def own(make_database: MakeDatabase, amqp_url: str) -> AsyncIterator[tuple[Town, str]]:
    """A system with a Redis of its own, to be flushed."""
    database = await make_database()
    databases = {service: await database.url(service) for service in SERVICES}
    folder = open_temporary()
    server = Redis(folder, "secret")
    running = System(folder, Parts(databases, redis_url=server.url, amqp_url=amqp_url))
    try:
        await server.start()
        await running.start()
        await running.add_edge()
        async with ClientSession(connector=TCPConnector(limit=0)) as http:
            yield Town(http, [edge.url for edge in running.edges], running.issuer_url), server.url
    finally:
        await running.stop()
        for child in server.children:
            await child.stop()
        folder.close()


async def test_after_a_flush_everybody_starts_over_and_reaches_the_truth(own: tuple[Town, str]) -> None:
    town, redis_url = own
    recruiter, candidate, where = await town.talking()
    async with redis.Redis.from_url(redis_url) as server:
        async with candidate.live() as staying:
            cursor = await left_at(candidate)
            await recruiter.send(where, "before")
            await server.flushall()
            await recruiter.send(where, "after")
            # Whoever is there goes on.
            await staying.frame(
                "message.created", lambda frame: bool(frame["data"]["message"]["text"] == "after")
            )
            kept = staying.cursor
        assert kept is not None
        async with back(candidate, cursor) as live:
            assert (live.welcome["resumed"], live.welcome["reason"]) == (False, "cursor_unknown")
            assert live.replayed == []
            [row] = live.welcome["watchList"]
            assert (row["conversationId"], row["lastSeq"]) == (where, 3)
            assert live.cursor == kept
        async with back(candidate, kept) as live:
            assert live.welcome["resumed"] is True
        await server.flushall()
        async with back(candidate, kept) as live:
            assert (live.welcome["resumed"], live.welcome["reason"]) == (False, "cursor_unknown")
            assert live.cursor is None  # there is nothing to come back to yet
            await recruiter.send(where, "again")
            await live.frame("message.created")
            assert live.cursor is not None


async def test_what_redis_lost_behind_a_cursor_it_still_knows_is_in_the_welcome(
    own: tuple[Town, str],
) -> None:
    town, redis_url = own
    recruiter, candidate, where = await town.talking()
    cursor = await left_at(candidate)
    async with redis.Redis.from_url(redis_url) as server:
        async with candidate.live() as present:
            await recruiter.send(where, "lost")
            await present.frame("message.created")
        entries: Any = await server.xrange(stream_key(candidate.user_id))
        await server.xdel(stream_key(candidate.user_id), entries[-1][0])
    async with back(candidate, cursor) as live:
        assert (live.welcome["resumed"], live.replayed) == (True, [])
        [row] = live.welcome["watchList"]
        assert (row["conversationId"], row["lastSeq"]) == (where, 2)


async def test_a_receipt_that_redis_lost_is_a_change_in_the_welcome_and_reading_again_shows_it(
    own: tuple[Town, str],
) -> None:
    town, redis_url = own
    recruiter, candidate, where = await town.talking()
    async with candidate.live() as live:
        await candidate.send(where, "have you read this?")
        await live.frame("message.created")
        cursor, known = live.cursor, await candidate.get("/watch-list")
        assert cursor is not None
        await recruiter.request("PUT", "/conversations/{id}/read", {"lastReadSeq": 2}, id=where)
        lost = (await live.frame("read.receipt"))["cursor"]
    async with redis.Redis.from_url(redis_url) as server:
        assert await server.xdel(stream_key(candidate.user_id), lost) == 1
    async with back(candidate, cursor) as live:
        assert (live.welcome["resumed"], live.replayed) == (True, [])
        [row] = live.welcome["watchList"]
        [before] = known["items"]
        assert row["changedAt"] > before["changedAt"]
        assert {**row, "changedAt": None} == {**before, "changedAt": None}
    people = (await candidate.view(where))["participants"]
    assert {each["user"]["id"]: each["lastReadSeq"] for each in people}[recruiter.user_id] == 2


async def test_a_trimmed_stream_starts_over(own: tuple[Town, str]) -> None:
    town, redis_url = own
    recruiter, candidate, where = await town.talking()
    cursor = await left_at(candidate)
    async with candidate.live() as present:
        for number in range(3):
            await recruiter.send(where, f"m{number}")
        await present.frame("message.created", lambda frame: seq_of(frame) == 4)
    async with redis.Redis.from_url(redis_url) as server:
        await server.xtrim(stream_key(candidate.user_id), maxlen=2, approximate=False)
    async with back(candidate, cursor) as live:
        assert (live.welcome["resumed"], live.welcome["reason"]) == (False, "cursor_unknown")
        assert live.welcome["watchList"][0]["lastSeq"] == 4
