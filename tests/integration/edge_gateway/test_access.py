"""Revoked sessions and bans: over REST, at the door, on live sockets; with and without Redis' word of it."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator

import orjson
import pytest
import pytest_asyncio
import redis.asyncio as redis
from aiohttp import ClientSession

from edge_gateway.app import ROUTES
from servicekit.control import CHANNEL, Kind, News, encode
from servicekit.realtime import channel
from tests.support.access import PAGE, AccessLog
from tests.support.edge import Edge, ask, problem, run_beside, serving
from tests.support.issuer import Issuer
from tests.support.keys import Keys
from tests.support.rawsocket import RawSocket
from tests.support.sockets import connect, enter, hold_welcomes, message_event, say, somebody
from tests.support.waiting import eventually

NEVER_MS = 3_600_000


class Town:
    """Two edges, what presence_svc says of their people, and the word of it through Redis."""

    def __init__(self, edge: Edge, other_edge: Edge, log: AccessLog, publisher: redis.Redis) -> None:
        self.edge = edge
        self.other_edge = other_edge
        self.log = log
        self._publisher = publisher

    async def tell(self, user_id: str) -> None:
        """What presence_svc says on the control channel."""
        await self._publisher.publish(CHANNEL, encode(News(Kind.ACCESS, (user_id,))))

    async def publish(self, user_id: str) -> None:
        """An event that each of their sockets is told."""
        await self._publisher.publish(channel(user_id), message_event(1))

    async def know(self, user_id: str) -> None:
        """Returns once both edges have read everything."""
        asked = len(self.log.asked)
        await self.tell(user_id)

        async def read() -> bool:
            versions = {each.count("edge_access_version") for each in (self.edge, self.other_edge)}
            return len(self.log.asked) > asked + 1 and versions == {self.log.version}

        await eventually(read)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def town(keys: Keys, redis_url: str, issuer: Issuer, publisher: redis.Redis) -> AsyncIterator[Town]:
    """Edges that ask by themselves hardly ever: what is seen there came by the control channel."""
    log = AccessLog()
    async with (
        log.run_edge(keys, redis_url, issuer, access_poll_ms=NEVER_MS) as edge,
        run_beside(edge, access_poll_ms=NEVER_MS) as other_edge,
    ):
        yield Town(await serving(edge), other_edge, log, publisher)


async def status(http: ClientSession, edge: Edge, token: str) -> int:
    return (await ask(http, edge, "GET", "/v1/me", token=token)).status


async def test_a_revoked_token_is_answered_byte_for_byte_like_one_that_never_was_any(
    town: Town, http: ClientSession
) -> None:
    ada, edge = somebody(), town.edge
    token = edge.issuer.token(ada)
    assert await status(http, edge, token) == 200  # from here on it is remembered
    town.log.revoke(ada)
    await town.know(ada)
    for method, path in (("GET", "/v1/me"), ("PUT", "/v1/blocks/x")):
        answers = [
            await ask(http, edge, method, path, token=each, headers={"X-Request-Id": "same"})
            for each in (token, "nonsense")
        ]
        assert problem(answers[0]) == (401, "unauthenticated")
        assert answers[0].raw == answers[1].raw
        names = [set(answer.headers) for answer in answers]
        assert names[0] == names[1]
    signed_in_anew = edge.issuer.token(ada, iat=int(time.time()) + 1)
    assert await status(http, edge, signed_in_anew) == 200


async def test_one_session_is_over_and_the_others_of_the_same_person_are_not(
    town: Town, http: ClientSession
) -> None:
    ada, edge = somebody(), town.edge
    lost, kept = (edge.issuer.token(ada, sid=sid) for sid in ("lost", "kept"))
    sockets = [await enter(edge, ada, token=token) for token in (lost, kept)]
    town.log.revoke(ada, "lost")
    await town.tell(ada)
    assert await sockets[0].close_code() == 4501
    assert [await status(http, edge, token) for token in (lost, kept)] == [401, 200]
    await town.publish(ada)
    assert (await sockets[1].json())["type"] == "message.created"
    # A fresh token of the session that is over refreshes nothing, and the socket goes on as it was.
    await say(sockets[1], type="auth.refresh", id="a", token=edge.issuer.token(ada, sid="lost"))
    refused = await sockets[1].json()
    assert (refused["replyTo"], refused["problem"]["code"]) == ("a", "unauthenticated")
    await town.publish(ada)
    assert (await sockets[1].json())["type"] == "message.created"


async def test_every_route_says_that_one_is_banned_and_a_lifted_ban_lets_in(
    town: Town, http: ClientSession
) -> None:
    ada, edge = somebody(), town.edge
    token = edge.issuer.token(ada)
    town.log.ban(ada)
    await town.know(ada)
    for route in ROUTES:
        path = re.sub(r"\{\w+\}", "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", route.template)
        reply = await ask(http, edge, route.method, path, token=token)
        assert problem(reply) == (403, "account_banned"), route.template
    town.log.lift(ada)
    await town.know(ada)
    assert await status(http, edge, token) == 200


async def test_a_ban_that_is_over_lets_in_and_nobody_has_to_do_anything(
    town: Town, http: ClientSession
) -> None:
    ada, edge = somebody(), town.edge
    token = edge.issuer.token(ada)
    town.log.ban(ada, time.time() + 1.5)
    await town.know(ada)
    assert await status(http, edge, token) == 403
    assert await (await connect(edge, ada, token=token)).close_code() == 4502

    async def let_in() -> bool:
        return await status(http, edge, token) == 200

    await eventually(let_in)
    await enter(edge, ada, token=token)


@pytest.mark.parametrize(
    ("what", "code", "answer"),
    [("tokens", 4501, 401), ("session", 4501, 401), ("its own session", 4501, 401), ("ban", 4502, 403)],
)
async def test_who_acts_for_somebody_is_refused_as_in_their_own_name(
    town: Town, http: ClientSession, what: str, code: int, answer: int
) -> None:
    ada, support, edge = somebody(), somebody(), town.edge
    theirs = edge.issuer.token(ada, sid="s1", act={"sub": support, "sid": "s2"})
    others = [
        edge.issuer.token(ada, sid="s1"),
        edge.issuer.token(ada, sid="s1", act={"sub": somebody(), "sid": "s2"}),
        edge.issuer.token(ada, sid="s1", act={"sub": "nobody", "act": {"sub": support, "sid": "s2"}}),
    ]
    socket, *kept = [await enter(edge, ada, token=token) for token in (theirs, *others)]
    match what:
        case "tokens":
            town.log.revoke(support)
        case "session":
            town.log.revoke(support, "s2")
        case "its own session":
            town.log.revoke(support, "s1")
        case _:
            town.log.ban(support)
    await town.tell(support)
    assert await socket.close_code() == code
    raw = await connect(edge, ada, token=theirs)
    assert (raw.status, await raw.close_code()) == (101, code)
    assert await status(http, edge, theirs) == answer
    assert [await status(http, edge, token) for token in others] == [200] * 3
    await town.publish(ada)
    for each in kept:
        assert (await each.json())["type"] == "message.created"


async def test_who_acts_on_a_socket_is_whom_its_latest_token_names(town: Town) -> None:
    ada, support, edge = somebody(), somebody(), town.edge
    own, acting = edge.issuer.token(ada), edge.issuer.token(ada, act={"sub": support})
    sockets = [await enter(edge, ada, token=token) for token in (own, acting)]
    for socket, token in zip(sockets, (acting, own), strict=True):
        await say(socket, type="auth.refresh", id="a", token=token)
        assert (await socket.json())["type"] == "ack"
    town.log.ban(support)
    await town.tell(support)
    assert await sockets[0].close_code() == 4502
    await town.publish(ada)
    assert (await sockets[1].json())["type"] == "message.created"


async def test_the_door_tells_by_codes_who_is_not_let_in(town: Town) -> None:
    ada, bob, edge = somebody(), somebody(), town.edge
    town.log.revoke(ada)
    town.log.ban(bob)
    await town.know(ada)
    for user_id, code in ((ada, 4501), (bob, 4502)):
        raw = await connect(edge, user_id)
        assert raw.status == 101
        assert await raw.close_code() == code
    assert edge.count("edge_handshakes_total", outcome="revoked") >= 1
    assert edge.count("edge_handshakes_total", outcome="banned") >= 1


async def test_live_sockets_of_theirs_are_closed_and_of_nobody_else(town: Town) -> None:
    people = ada, bob, eve = [somebody() for _ in range(3)]
    edges = (town.edge, town.other_edge)
    sockets = {who: [await enter(edge, who) for edge in edges] for who in people}
    town.log.revoke(ada)
    town.log.ban(bob)
    await town.tell(ada)  # one word of it is enough: all that is new is read
    for user_id, code in ((ada, 4501), (bob, 4502)):
        assert [await socket.close_code() for socket in sockets[user_id]] == [code, code]
    await town.publish(eve)
    for socket in sockets[eve]:
        assert (await socket.json())["type"] == "message.created"
    assert all(edge.count("edge_sockets_closed_total", code="4501") >= 1 for edge in edges)


async def test_a_revocation_while_a_socket_opens_ends_it(town: Town) -> None:
    ada, edge = somebody(), town.edge
    asked, go_on = hold_welcomes(edge)
    opening = asyncio.create_task(connect(edge, ada))
    await asked.wait()
    town.log.revoke(ada)
    await town.know(ada)
    go_on.set()
    raw = await opening
    assert raw.status == 101
    opcode, payload = await raw.receive()  # no welcome before it
    assert (opcode, int.from_bytes(payload[:2], "big")) == (8, 4501)


async def test_no_socket_slips_in_however_a_revocation_and_handshakes_fall_together(town: Town) -> None:
    chance = random.Random(29)

    async def turns() -> None:
        for _ in range(chance.randrange(60)):
            await asyncio.sleep(0)  # turns of the loop, which the handshakes take too

    for number in range(30):
        ada = somebody()
        token = town.edge.issuer.token(ada)
        opening: list[asyncio.Task[RawSocket]] = []
        if number % 2:
            town.log.revoke(ada)
            await town.tell(ada)
            await turns()
        for _ in range(3):
            opening.append(asyncio.create_task(connect(town.edge, ada, token=token)))
            await turns()
        if not number % 2:
            town.log.revoke(ada)
            await town.tell(ada)
        for raw in await asyncio.gather(*opening):
            assert raw.status == 101
            assert await raw.close_code() == 4501


async def test_what_redis_does_not_say_is_found_by_asking(keys: Keys, redis_url: str, issuer: Issuer) -> None:
    log = AccessLog()
    async with log.run_edge(keys, redis_url, issuer, access_poll_ms=200) as edge:
        await serving(edge)
        ada, support = somebody(), somebody()
        raw = await enter(edge, ada)
        acting = await enter(edge, ada, token=issuer.token(ada, act={"sub": support}))
        began = time.monotonic()
        log.ban(support)
        assert await acting.close_code() == 4502
        log.ban(ada)
        assert await raw.close_code() == 4502
        assert time.monotonic() - began < 30


async def test_an_edge_that_knows_nothing_yet_lets_nobody_in(
    keys: Keys, redis_url: str, issuer: Issuer, http: ClientSession
) -> None:
    log = AccessLog()
    log.away = True
    ada, bob = somebody(), somebody()
    for _ in range(2 * PAGE):
        log.ban(somebody())
    log.ban(ada)
    running = log.run_edge(keys, redis_url, issuer)
    async with running as edge:

        async def readyz() -> dict[str, bool]:
            async with http.get(f"{edge.ops_url}/readyz") as response:
                conditions: dict[str, bool] = orjson.loads(await response.read())
                assert response.status == (200 if all(conditions.values()) else 503)
                return conditions

        await eventually(readyz, until=lambda conditions: conditions["redis"])
        assert await readyz() == {"redis": True, "access": False, "accepting": True}
        reply = await ask(http, edge, "GET", "/v1/me", token=issuer.token(bob))
        assert problem(reply) == (503, "unavailable")
        assert (await connect(edge, bob)).status == 503
        log.away = False
        await eventually(readyz, until=lambda conditions: all(conditions.values()))
        assert [await status(http, edge, issuer.token(each)) for each in (ada, bob)] == [403, 200]


async def test_while_presence_svc_is_away_what_is_known_holds_and_then_it_is_read_on(
    keys: Keys, redis_url: str, issuer: Issuer, http: ClientSession
) -> None:
    log = AccessLog()
    ada, bob = somebody(), somebody()
    log.ban(ada)
    async with log.run_edge(keys, redis_url, issuer, access_poll_ms=100) as edge:
        await serving(edge)
        log.away = True

        async def failed() -> bool:
            return edge.count("edge_access_reads_total", outcome="failed") >= 2

        await eventually(failed)
        raw = await enter(edge, bob)
        log.ban(bob)
        assert [await status(http, edge, issuer.token(each)) for each in (ada, bob)] == [403, 200]
        assert all(edge.app.ready().values())
        log.away = False
        assert await raw.close_code() == 4502
        assert await status(http, edge, issuer.token(ada)) == 403


async def test_who_comes_back_from_an_old_backup_is_read_anew(
    keys: Keys, redis_url: str, issuer: Issuer, http: ClientSession
) -> None:
    log = AccessLog()
    ada, bob = somebody(), somebody()
    for _ in range(PAGE):
        log.ban(ada)
    async with log.run_edge(keys, redis_url, issuer, access_poll_ms=100) as edge:
        await serving(edge)
        raw = await enter(edge, bob)
        log.lose_all()
        log.ban(bob)
        assert await raw.close_code() == 4502
        assert await status(http, edge, issuer.token(ada)) == 200


async def test_what_presence_svc_has_forgotten_is_forgotten_here(
    keys: Keys, redis_url: str, issuer: Issuer, http: ClientSession
) -> None:
    log = AccessLog()
    ada = somebody()
    log.revoke(ada, "s1")
    running = log.run_edge(keys, redis_url, issuer, access_poll_ms=100, access_reload_s=0.2)
    async with running as edge:
        await serving(edge)
        token = issuer.token(ada, sid="s1")
        assert await status(http, edge, token) == 401
        log.forget()

        async def let_in() -> bool:
            return await status(http, edge, token) == 200

        await eventually(let_in)
