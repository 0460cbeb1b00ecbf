"""What a socket is told of the conversations that it has open: who is here, as it may be seen."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import redis.asyncio as redis

from presence_svc.domain import Status
from servicekit.realtime import channel, conversation_channel, presence_channel
from tests.support import contract
from tests.support.edge import Edge, run_edge
from tests.support.issuer import Issuer
from tests.support.keys import Keys
from tests.support.onscreen import (
    Sights,
    ask,
    following,
    heard,
    open_conversation,
    publish_news,
    publish_presence,
    statuses,
    subscribers,
)
from tests.support.sockets import enter, message_event, say, somebody
from tests.support.waiting import eventually


@pytest.fixture
def sights(edge: Edge) -> Sights:
    found = Sights()
    found.script(edge.services)
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def quick(keys: Keys, redis_url: str, issuer: Issuer) -> AsyncIterator[Edge]:
    """An edge that asks again every quarter of a second, and opens three at most."""
    async with run_edge(keys, redis_url, issuer, ws_recheck_ms=250, ws_max_open=3) as running:
        yield running


def place() -> str:
    """A conversation nobody else has."""
    return str(uuid.uuid4())


async def test_who_is_here_is_told_before_the_answer_and_then_what_changes(
    edge: Edge, sights: Sights, publisher: redis.Redis
) -> None:
    ada, bob, cid, where = somebody(), somebody(), somebody(), place()
    sights.seen[where, ada] = {bob, cid}
    sights.people = {bob: Status.ONLINE, cid: Status.OFFLINE}
    raw = await enter(edge, ada)
    *shown, answer = await open_conversation(raw, where)
    assert answer == {"type": "ack", "replyTo": "asked"}
    for each in shown:
        contract.check_frame(each)
    assert sorted(statuses(shown)) == sorted([(bob, "online", None), (cid, "offline", None)])

    await publish_presence(publisher, bob, Status.AWAY)
    [change] = [await following(raw)]
    contract.check_frame(change)
    assert statuses([change]) == [(bob, "away", None)]


async def test_what_many_ask_who_open_at_once_goes_together_and_each_is_told_their_own(
    edge: Edge, sights: Sights
) -> None:
    readers = [(somebody(), somebody(), place()) for _ in range(60)]
    sights.seen = {(where, reader): {other} for reader, other, where in readers}
    sights.people = {
        other: Status.AWAY if number % 2 else Status.ONLINE for number, (_, other, _) in enumerate(readers)
    }
    raws = [await enter(edge, reader) for reader, _, _ in readers]
    edge.services.calls.clear()
    open_before = edge.count("edge_screens_open")
    sights.watch_gate.clear()
    opening = [
        asyncio.create_task(open_conversation(raw, where))
        for raw, (_, _, where) in zip(raws, readers, strict=True)
    ]

    async def all_asked() -> bool:
        return edge.count("edge_screens_open") >= open_before + len(readers)

    await eventually(all_asked)
    sights.watch_gate.set()
    shown = await asyncio.gather(*opening)
    for (told, answer), (_, other, _) in zip(shown, readers, strict=True):
        assert answer["type"] == "ack"
        assert statuses([told]) == [(other, sights.people[other].value, None)]
    calls = edge.services.calls
    assert calls.count("GetPresence") == len(readers)  # questions
    assert calls.count("GetPresences") <= len(readers) / 3
    for raw in raws:
        raw.abort()


async def test_a_conversation_that_is_not_theirs_is_not_there(edge: Edge, sights: Sights) -> None:
    ada, where = somebody(), place()
    sights.seen[where, somebody()] = set()
    raw = await enter(edge, ada)
    [answer] = await open_conversation(raw, where)
    contract.check_frame(answer)
    assert answer["problem"]["code"] == "not_found"

    async def nothing_is_open() -> bool:
        return edge.count("edge_screens_open") == 0

    await eventually(nothing_is_open)  # sockets of the tests before may be on their way out still


async def test_no_more_may_be_open_than_the_setting_says(quick: Edge) -> None:
    sights, ada, places = Sights(), somebody(), [place() for _ in range(4)]
    sights.script(quick.services)
    sights.seen = {(where, ada): set() for where in places}
    raw = await enter(quick, ada)
    for where in [*places[:3], places[0]]:
        assert (await open_conversation(raw, where))[-1]["type"] == "ack"
    [refused] = await open_conversation(raw, places[3])
    contract.check_frame(refused)
    assert refused["problem"]["code"] == "validation_failed"
    assert refused["problem"]["errors"][0]["pointer"] == "/conversationId"
    await ask(raw, type="conversation.close", conversationId=places[1])
    assert (await open_conversation(raw, places[3]))[-1]["type"] == "ack"


async def test_channels_are_shared_and_left_with_the_last_who_listens(
    edge: Edge, sights: Sights, publisher: redis.Redis
) -> None:
    ada, bob, first, second = somebody(), somebody(), place(), place()
    sights.seen = {(where, ada): {bob} for where in (first, second)}
    sights.people = {bob: Status.ONLINE}
    # Both at one edge: it listens once for all of its sockets.
    one, other = await enter(edge, ada), await enter(edge, ada)
    assert len(await open_conversation(one, first)) == 2
    assert len(await open_conversation(one, second)) == 1  # how bob is was told
    assert len(await open_conversation(other, first)) == 2
    await publish_presence(publisher, bob, Status.AWAY)
    for raw in (one, other):
        assert statuses([await following(raw)]) == [(bob, "away", None)]  # once a socket
    assert await heard(one, publisher) == []

    await ask(one, type="conversation.close", conversationId=first)
    await ask(one, type="conversation.close", conversationId=first)
    await publish_presence(publisher, bob, Status.ONLINE)
    assert statuses([await following(one)]) == [(bob, "online", None)]  # the second shows him still
    await ask(one, type="conversation.close", conversationId=second)
    await subscribers(publisher, conversation_channel(second), 0)
    await subscribers(publisher, presence_channel(bob), 1)
    other.abort()
    await subscribers(publisher, presence_channel(bob), 0)
    await subscribers(publisher, conversation_channel(first), 0)


async def test_whoever_may_not_be_seen_any_more_is_told_once_to_be_away_for_good(
    edge: Edge, sights: Sights, publisher: redis.Redis
) -> None:
    ada, bob, where = somebody(), somebody(), place()
    sights.seen[where, ada] = {bob}
    sights.people = {bob: Status.ONLINE}
    raw = await enter(edge, ada)
    await open_conversation(raw, where)
    sights.seen[where, ada] = set()
    await publish_news(publisher, bob)
    vanished = await following(raw)
    contract.check_frame(vanished)
    assert statuses([vanished]) == [(bob, "offline", None)]
    await publish_presence(publisher, bob, Status.AWAY)
    assert await heard(raw, publisher) == []

    sights.seen[where, ada] = {bob}
    await publish_news(publisher, ada)
    assert statuses([await following(raw)]) == [(bob, "online", None)]


async def test_nothing_is_shown_from_the_news_to_the_answer_and_what_changed_meanwhile_is_told_then(
    edge: Edge, sights: Sights, publisher: redis.Redis
) -> None:
    ada, bob, cid, where = somebody(), somebody(), somebody(), place()
    sights.seen[where, ada] = {bob, cid}
    sights.people = {bob: Status.ONLINE, cid: Status.ONLINE}
    raw = await enter(edge, ada)
    await open_conversation(raw, where)
    sights.watch_gate.clear()
    asked = sights.watched
    await publish_news(publisher, bob)
    await eventually(lambda: _reached(sights, asked + 1))
    for status in (Status.OFFLINE, Status.AWAY):
        sights.people[cid] = status
        await publish_presence(publisher, cid, status)
    assert await heard(raw, publisher) == []
    sights.watch_gate.set()
    assert statuses([await following(raw)]) == [(cid, "away", None)]
    assert await heard(raw, publisher) == []


async def test_an_answer_from_before_the_news_does_not_count(
    edge: Edge, sights: Sights, publisher: redis.Redis
) -> None:
    ada, bob, where = somebody(), somebody(), place()
    sights.seen[where, ada] = {bob}
    sights.people = {bob: Status.ONLINE}
    raw = await enter(edge, ada)
    sights.watch_gate.clear()
    opening = asyncio.create_task(open_conversation(raw, where))
    await eventually(lambda: _reached(sights, 1))
    sights.seen[where, ada] = set()  # he hides while the answer that shows him is on its way
    await publish_news(publisher, bob)
    await heard(await enter(edge, somebody()), publisher)
    sights.watch_gate.set()
    *shown, answer = await opening
    assert answer["type"] == "ack"
    assert (bob, "online", None) not in statuses(shown)
    assert sights.watched == 2


async def test_what_the_channel_says_while_it_is_looked_up_is_not_told_over(
    edge: Edge, sights: Sights, publisher: redis.Redis
) -> None:
    ada, bob, cid, where = somebody(), somebody(), somebody(), place()
    sights.seen[where, ada] = {bob, cid}
    sights.people = {bob: Status.ONLINE, cid: Status.ONLINE}
    raw = await enter(edge, ada)
    sights.presence_gate.clear()
    opening = asyncio.create_task(open_conversation(raw, where))
    await eventually(lambda: _looked(sights, 1))
    await publish_presence(publisher, bob, Status.OFFLINE)
    await heard(await enter(edge, somebody()), publisher)
    sights.presence_gate.set()
    *shown, _ = await opening
    assert statuses(shown) == [(bob, "offline", None), (cid, "online", None)]


async def test_without_news_it_is_asked_again_in_time(quick: Edge, publisher: redis.Redis) -> None:
    sights, ada, bob, where = Sights(), somebody(), somebody(), place()
    sights.script(quick.services)
    sights.seen[where, ada] = {bob}
    sights.people = {bob: Status.ONLINE}
    raw = await enter(quick, ada)
    await open_conversation(raw, where)
    sights.seen[where, ada] = set()
    async with asyncio.timeout(2):
        assert statuses([await following(raw)]) == [(bob, "offline", None)]
    del sights.seen[where, ada]  # they are not in it any more
    await subscribers(publisher, conversation_channel(where), 0)


async def test_without_an_answer_nothing_is_shown_and_it_goes_on_with_the_next(
    quick: Edge, publisher: redis.Redis
) -> None:
    sights, ada, bob, where = Sights(), somebody(), somebody(), place()
    sights.script(quick.services)
    sights.seen[where, ada] = {bob}
    sights.people = {bob: Status.ONLINE}
    raw = await enter(quick, ada)
    await open_conversation(raw, where)
    sights.away = True
    failed = quick.count("edge_looks_total", outcome="failed")

    async def fails() -> bool:
        return quick.count("edge_looks_total", outcome="failed") > failed

    await eventually(fails)
    sights.people[bob] = Status.AWAY
    await publish_presence(publisher, bob, Status.AWAY)
    assert await heard(raw, publisher) == []
    [refused] = await open_conversation(await enter(quick, ada), where)
    assert refused["problem"]["code"] == "unavailable"
    sights.away = False
    assert statuses([await following(raw)]) == [(bob, "away", None)]


async def test_a_reader_who_was_behind_is_told_how_it_is_in_time(quick: Edge, publisher: redis.Redis) -> None:
    sights, ada, bob, where = Sights(), somebody(), somebody(), place()
    sights.script(quick.services)
    sights.seen[where, ada] = {bob}
    sights.people = {bob: Status.ONLINE}
    raw = await enter(quick, ada, receive_buffer=4096)
    await open_conversation(raw, where)
    raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
    dropped = quick.count("edge_frames_dropped_total")

    async def drops() -> bool:
        await publish_presence(publisher, bob, Status.ONLINE)
        return quick.count("edge_frames_dropped_total") > dropped

    for seq in range(1, 26):
        await publisher.publish(channel(ada), message_event(seq, "x" * 8000))
    await eventually(drops)
    sights.people[bob] = Status.AWAY
    await publish_presence(publisher, bob, Status.AWAY)
    raw.writer.transport.resume_reading()  # type: ignore[attr-defined]
    while True:
        told = await following(raw)
        if told["type"] == "presence.updated" and told["data"]["status"] == "away":
            break
    assert quick.count("edge_sockets_closed_total", code="4003") == 0


async def test_nothing_of_a_socket_stays_when_it_closes_while_it_opens_one(
    edge: Edge, sights: Sights, publisher: redis.Redis
) -> None:
    ada, bob, where = somebody(), somebody(), place()
    sights.seen[where, ada] = {bob}
    sights.people = {bob: Status.ONLINE}
    raw = await enter(edge, ada)
    open_before = edge.count("edge_screens_open")
    sights.presence_gate.clear()
    opening = asyncio.create_task(open_conversation(raw, where))
    await eventually(lambda: _looked(sights, 1))
    raw.abort()
    await asyncio.gather(opening, return_exceptions=True)
    await subscribers(publisher, presence_channel(bob), 0)
    await subscribers(publisher, conversation_channel(where), 0)
    assert edge.count("edge_screens_open") <= open_before  # others may have gone meanwhile
    sights.presence_gate.set()


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_what_was_told_last_is_what_is_true(
    edge: Edge, sights: Sights, publisher: redis.Redis, seed: int
) -> None:
    chance = random.Random(seed)
    ada, people, places = somebody(), [somebody() for _ in range(4)], [place(), place()]
    sights.seen = {(where, ada): set(people) for where in places}
    sights.people = dict.fromkeys(people, Status.ONLINE)
    raw = await enter(edge, ada)
    shown: dict[str, str] = {}
    answers: list[str] = []

    async def read() -> None:
        while True:
            each = await following(raw)
            if each["type"] == "presence.updated":
                shown[each["data"]["userId"]] = each["data"]["status"]
            else:
                answers.append(each["type"])

    reading = asyncio.create_task(read())
    for where in places:
        await say(raw, type="conversation.open", id="open", conversationId=where)
    for step in range(150):
        who, seen = chance.choice(people), sights.seen[chance.choice(places), ada]
        match chance.randrange(6):
            case 0 | 1:
                sights.people[who] = chance.choice(list(Status))
                await publish_presence(publisher, who, sights.people[who])
            case 2:
                seen ^= {who}
                await publish_news(publisher, who, ada)  # who is not seen yet is not watched
            case 3:
                for gate in (sights.watch_gate, sights.presence_gate):
                    gate.clear() if chance.random() < 0.5 else gate.set()
            case 4 if step < 50:  # it tells everything anew: at the end nothing is to be mended by it
                await say(raw, type="conversation.open", id="again", conversationId=chance.choice(places))
            case _:
                await asyncio.sleep(chance.random() / 100)
    sights.watch_gate.set()
    sights.presence_gate.set()
    seen_at_last = set().union(*sights.seen.values())
    true = {who: sights.people[who].value if who in seen_at_last else "offline" for who in people}

    async def settled() -> dict[str, str]:
        return {who: shown.get(who, "offline") for who in people}

    await eventually(settled, until=lambda found: found == true and bool(answers), within=10)
    assert set(answers) == {"ack"}
    reading.cancel()


async def _reached(sights: Sights, number: int) -> bool:
    return sights.watched >= number


async def _looked(sights: Sights, number: int) -> bool:
    return sights.looked >= number
