"""Who types: what clients say of it, and what is told of it to those who may know."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
import redis.asyncio as redis
from splits.chat.presence.v1 import service_pb2 as presence_rpc

from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser
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
    publish_typing,
)
from tests.support.rawsocket import RawSocket
from tests.support.sockets import enter, say, somebody
from tests.support.waiting import eventually


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def quick(keys: Keys, redis_url: str, issuer: Issuer) -> AsyncIterator[Edge]:
    """An edge on which nobody types for longer than half a second."""
    async with run_edge(keys, redis_url, issuer, ws_typing_ms=500) as running:
        yield running


@dataclass
class Signs:
    """What presence_svc was told: by whom, where, whether they type."""

    told: list[tuple[str, str, bool]] = field(default_factory=list)
    members: set[str] | None = None
    """None = everybody."""

    def script(self, edge: Edge) -> None:
        edge.services.answers["SetTyping"] = self._answer

    def _answer(self, request: Any, user: ActingUser | None) -> presence_rpc.SetTypingResponse:
        assert user is not None
        if self.members is not None and user.user_id not in self.members:
            raise ChatError(Reason.NOT_FOUND, "The test has them elsewhere.")
        self.told.append((user.user_id, request.conversation_id, request.typing))
        return presence_rpc.SetTypingResponse()

    async def reach(self, *expected: tuple[str, str, bool]) -> None:
        """Returns when that was told of somebody, and nothing else of them."""
        user_id = expected[0][0]

        async def told() -> list[tuple[str, str, bool]]:
            return [each for each in self.told if each[0] == user_id]

        await eventually(told, until=lambda found: found == list(expected), within=10)


@pytest.fixture
def edges(edge: Edge, other_edge: Edge) -> list[Edge]:
    return [edge, other_edge]


@pytest.fixture
def signs(edge: Edge) -> Signs:
    found = Signs()
    found.script(edge)
    return found


def place() -> str:
    """A conversation nobody else has."""
    return str(uuid.uuid4())


async def watching(edges: Sequence[Edge], where: str, *people: str) -> list[RawSocket]:
    """Sockets with the conversation open, one for each name; they take turns at the edges."""
    sights = Sights()
    sights.script(edges[0].services)
    sights.seen = {(where, each): set() for each in people}
    sockets = [await enter(edge, each) for edge, each in zip(itertools.cycle(edges), people, strict=False)]
    for raw in sockets:
        assert (await open_conversation(raw, where))[-1]["type"] == "ack"
    return sockets


def typing(frames: list[Any]) -> list[tuple[str, str, str]]:
    """What happened, where, by whom."""
    for each in frames:
        contract.check_frame(each)
    return [(each["type"], each["conversationId"], each["data"]["userId"]) for each in frames]


async def test_a_start_is_passed_on_once_in_a_while_and_a_stop_where_a_start_was(
    edge: Edge, signs: Signs
) -> None:
    ada, where, other = somebody(), place(), place()
    raw = await enter(edge, ada)
    dropped = edge.count("edge_typing_dropped_total")
    for _ in range(3):
        assert await ask(raw, type="typing.started", conversationId=where) == [
            {"type": "ack", "replyTo": "asked"}
        ]
    await ask(raw, type="typing.started", conversationId=other)
    await ask(raw, type="typing.stopped", conversationId=where)
    await ask(raw, type="typing.stopped", conversationId=where)
    await ask(raw, type="typing.stopped", conversationId=place())
    await signs.reach((ada, where, True), (ada, other, True), (ada, where, False))
    assert edge.count("edge_typing_dropped_total") == dropped + 2


async def test_whoever_types_when_their_socket_dies_has_stopped(edge: Edge, signs: Signs) -> None:
    ada, where, other = somebody(), place(), place()
    raw = await enter(edge, ada)
    await ask(raw, type="typing.started", conversationId=where)
    await ask(raw, type="typing.started", conversationId=other)
    await ask(raw, type="typing.stopped", conversationId=other)
    raw.abort()
    await signs.reach((ada, where, True), (ada, other, True), (ada, other, False), (ada, where, False))


async def test_a_stop_does_not_overtake_a_start_that_is_under_way(edge: Edge, signs: Signs) -> None:
    ada, where = somebody(), place()
    raw = await enter(edge, ada)
    begun, go_on = asyncio.Event(), asyncio.Event()
    answer = signs._answer

    async def slowly(request: Any, user: ActingUser | None) -> presence_rpc.SetTypingResponse:
        begun.set()
        await go_on.wait()
        return answer(request, user)

    edge.services.answers["SetTyping"] = slowly
    await say(raw, type="typing.started", conversationId=where)
    await begun.wait()
    open_before = edge.count("edge_sockets_open")
    raw.abort()

    async def gone() -> bool:
        return edge.count("edge_sockets_open") < open_before

    await eventually(gone)
    go_on.set()
    await signs.reach((ada, where, True), (ada, where, False))


async def test_who_is_not_in_it_and_who_acts_for_another_types_nowhere(edge: Edge, signs: Signs) -> None:
    ada, where = somebody(), place()
    signs.members = set()
    [answer] = await ask(await enter(edge, ada), type="typing.started", conversationId=where)
    assert answer["problem"]["code"] == "not_found"
    impersonator = await enter(edge, ada, token=edge.issuer.token(ada, act={"sub": "support"}))
    [answer] = await ask(impersonator, type="typing.started", conversationId=where)
    assert answer["problem"]["code"] == "forbidden"


async def test_only_those_who_are_named_and_have_it_open_are_told(
    edges: list[Edge], publisher: redis.Redis
) -> None:
    ada, bob, cid, dan, where = somebody(), somebody(), somebody(), somebody(), place()
    hers, his, of_cid = await watching(edges, where, ada, bob, cid)
    of_dan = await enter(edges[0], dan)
    await publish_typing(publisher, where, ada, [ada, bob, dan])
    await publish_typing(publisher, where, ada, [bob], typing=False)
    assert typing([await following(his), await following(his)]) == [
        ("typing.started", where, ada),
        ("typing.stopped", where, ada),
    ]
    for raw in (hers, his, of_cid, of_dan):
        assert await heard(raw, publisher) == []


async def test_typing_of_which_nothing_more_is_heard_is_over(quick: Edge, publisher: redis.Redis) -> None:
    ada, bob, cid, where = somebody(), somebody(), somebody(), place()
    his, of_cid = await watching([quick], where, bob, cid)
    loop = asyncio.get_running_loop()
    await publish_typing(publisher, where, ada, [bob])
    started = loop.time()
    assert typing([await following(his)]) == [("typing.started", where, ada)]
    assert typing([await following(his)]) == [("typing.stopped", where, ada)]
    assert 0.4 < loop.time() - started < 2
    await publish_typing(publisher, where, ada, [bob, cid], typing=False)  # late, and told nobody
    for raw in (his, of_cid):
        assert await heard(raw, publisher) == []


async def test_typing_that_is_renewed_goes_on(quick: Edge, publisher: redis.Redis) -> None:
    ada, bob, where = somebody(), somebody(), place()
    [his] = await watching([quick], where, bob)
    for _ in range(4):
        await publish_typing(publisher, where, ada, [bob])
        await asyncio.sleep(0.2)  # renewed before it would lapse
    assert typing(await heard(his, publisher)) == [("typing.started", where, ada)] * 4
    assert typing([await following(his)]) == [("typing.stopped", where, ada)]


async def test_whoever_may_not_know_any_more_is_told_that_it_is_over(
    edges: list[Edge], publisher: redis.Redis
) -> None:
    ada, bob, cid, where = somebody(), somebody(), somebody(), place()
    his, of_cid = await watching(edges, where, bob, cid)
    await publish_typing(publisher, where, ada, [bob, cid])
    await publish_typing(publisher, where, ada, [cid])
    assert typing(await heard(his, publisher)) == [
        ("typing.started", where, ada),
        ("typing.stopped", where, ada),
    ]
    assert typing(await heard(of_cid, publisher)) == [("typing.started", where, ada)] * 2


async def test_a_conversation_that_was_closed_is_told_nothing(edge: Edge, publisher: redis.Redis) -> None:
    ada, bob, where = somebody(), somebody(), place()
    [his] = await watching([edge], where, bob)
    await publish_typing(publisher, where, ada, [bob])
    assert len(await heard(his, publisher)) == 1
    await ask(his, type="conversation.close", conversationId=where)
    await publish_typing(publisher, where, ada, [bob], typing=False)
    assert await heard(his, publisher) == []


async def test_nothing_is_told_while_it_is_not_known_what_may_be(edge: Edge, publisher: redis.Redis) -> None:
    ada, bob, where = somebody(), somebody(), place()
    [his] = await watching([edge], where, bob)
    asked = asyncio.Event()

    async def never(_where: str, _viewer: ActingUser | None) -> Any:
        asked.set()
        await asyncio.Event().wait()

    edge.services.answers["Watch"] = never
    await publish_news(publisher, bob)
    await asked.wait()
    await publish_typing(publisher, where, ada, [bob])
    assert await heard(his, publisher) == []


async def test_typing_that_may_not_be_known_any_more_is_over_at_once(
    edge: Edge, publisher: redis.Redis
) -> None:
    ada, bob, cid, where = somebody(), somebody(), somebody(), place()
    [his] = await watching([edge], where, bob)
    for typist in (ada, cid):
        await publish_typing(publisher, where, typist, [bob])
    await publish_news(publisher, ada)
    assert typing(await heard(his, publisher)) == [
        ("typing.started", where, ada),
        ("typing.started", where, cid),
        ("typing.stopped", where, ada),
    ]

    async def goes_on() -> list[Any]:
        await publish_typing(publisher, where, ada, [bob])
        return await heard(his, publisher)

    shown = await eventually(goes_on)  # it was not about him
    assert typing(shown) == [("typing.started", where, ada)]


async def test_what_is_no_sign_of_typing_is_told_nobody(edge: Edge, publisher: redis.Redis) -> None:
    bob, where = somebody(), place()
    [his] = await watching([edge], where, bob)
    for payload in (b"", b"[]", b"\n", b'["x"]\n{}', b'[1]\n{"type":"typing.started","data":{"userId":"x"}}'):
        await publisher.publish(f"conv:{where}", payload)
    assert await heard(his, publisher) == []
