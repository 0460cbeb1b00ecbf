"""Rate limits: of one person and one kind, over all edges, told in headers; never in the way of a fault."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
import pytest
import pytest_asyncio
from aiohttp import ClientSession
from structlog.testing import capture_logs

from edge_gateway.rates import Policy, Rates, Taken
from servicekit.redis_commands import RedisCommands, Script, Word
from tests.support import contract
from tests.support.edge import Edge, ask, problem, run_edge
from tests.support.issuer import Issuer
from tests.support.keys import Keys
from tests.support.proxy import proxy_to
from tests.support.rawsocket import frame
from tests.support.sockets import WHERE, connect, enter, say, somebody


class Counting(RedisCommands):
    """Counts how many scripts are asked for."""

    scripts = 0

    async def run(self, script: Script, keys: Sequence[Word], args: Sequence[Word]) -> Any:
        self.scripts += 1
        return await super().run(script, keys, args)


SEND = f"/v1/conversations/{WHERE}/messages"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def edge(keys: Keys, redis_url: str, issuer: Issuer) -> AsyncIterator[Edge]:
    limits = {
        "rate_connect": "4/60",
        "rate_read": "3/60",
        "rate_send": "2/1",
        "rate_other": "off",
        "rate_frames": "3/60",
        "rate_frames_user": "4/60",
    }
    async with run_edge(keys, redis_url, issuer, **limits) as running:
        yield running


async def test_who_has_had_enough_is_told_when_to_come_back(http: ClientSession, edge: Edge) -> None:
    token = edge.issuer.token(somebody())
    began = time.monotonic()
    for left in (2, 1, 0):
        reply = await ask(http, edge, "GET", "/v1/me", token=token)
        assert reply.status == 200
        assert reply.headers["RateLimit-Policy"] == '"read";q=3;w=60'
        assert reply.headers["RateLimit"].startswith(f'"read";r={left};t=')
    refused = await ask(http, edge, "GET", "/v1/blocks", token=token)
    assert problem(refused) == (429, "rate_limited")
    waited_ms = (time.monotonic() - began) * 1000
    assert 20_000 - waited_ms - 1 <= refused.body["retryAfterMs"] <= 20_000
    assert int(refused.headers["Retry-After"]) == math.ceil(refused.body["retryAfterMs"] / 1000)
    assert refused.body["retryable"] is True
    assert refused.headers["RateLimit"].startswith('"read";r=0;t=')
    # Neither another kind nor another person is touched.
    assert (await ask(http, edge, "POST", SEND, token=token, json={})).status == 400
    assert (await ask(http, edge, "GET", "/v1/me", token=edge.issuer.token(somebody()))).status == 200


async def test_a_quota_comes_back(http: ClientSession, edge: Edge) -> None:
    token = edge.issuer.token(somebody())
    answers = await asyncio.gather(*(ask(http, edge, "POST", SEND, token=token, json={}) for _ in range(8)))
    refused = next(answer for answer in answers if answer.status == 429)
    await asyncio.sleep(refused.body["retryAfterMs"] / 1000)
    assert (await ask(http, edge, "POST", SEND, token=token, json={})).status == 400


async def test_at_once_no_more_than_the_quota_passes(http: ClientSession, edge: Edge) -> None:
    # Connections are made here, so that none is waited for below.
    await asyncio.gather(*(ask(http, edge, "GET", "/v1/me", token=edge.issuer.token("w")) for _ in range(20)))
    token = edge.issuer.token(somebody())
    replies = await asyncio.gather(*(ask(http, edge, "GET", "/v1/me", token=token) for _ in range(20)))
    assert sorted(reply.status for reply in replies) == [200] * 3 + [429] * 17


@pytest_asyncio.fixture(loop_scope="session")
async def counting(redis_url: str) -> AsyncIterator[Counting]:
    commands = Counting(redis_url)
    yield commands
    commands.close()


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_a_wave_of_requests_is_counted_in_few_calls_and_each_for_itself(counting: Counting) -> None:
    policies = {"read": Policy(3, 60), "send": Policy(100, 6000), "other": None}
    rates = Rates(counting, policies, pause_s=5)
    people = [somebody() for _ in range(59)]
    # Of each of the others a number of messages of their own was counted before.
    before = {each: index % 7 for index, each in enumerate(people)}
    for each, number in before.items():
        await asyncio.gather(*(rates.take(each, "send") for _ in range(number)))
    counting.scripts = 0
    asked = [asyncio.create_task(rates.take(people[0], "read")) for _ in range(20)]
    for each in people[1:]:  # over many turns
        asked += [asyncio.create_task(rates.take(each, kind)) for kind in ("read", "send", "other")]
        if each in people[1::8]:
            await turns(1)
    async with asyncio.timeout(30):
        found = await asyncio.gather(*asked)
    assert 3 <= counting.scripts <= 16  # for 136; a slow machine divides a wave
    assert [taken.allowed for taken in found[:20] if taken] == [True] * 3 + [False] * 17
    assert found[19] is not None
    assert 10_000 < found[19].retry_ms <= 20_000  # 20 s, less what a slow machine takes between two calls
    for index, taken in enumerate(found[20:]):
        person, kind = people[1 + index // 3], ("read", "send", "other")[index % 3]
        if kind == "other":
            assert taken is None
            continue
        assert taken is not None
        assert (taken.kind, taken.policy, taken.allowed) == (kind, policies[kind], True)
        used = 1 if kind == "read" else before[person] + 1
        assert taken.left == taken.policy.quota - used
        step_ms = taken.policy.window_s * 1000 / taken.policy.quota
        assert (used - 1) * step_ms < taken.full_ms <= used * step_ms


async def test_who_goes_takes_nobody_along_and_pays_nothing_before_it_was_asked(counting: Counting) -> None:
    rates = Rates(counting, {"read": Policy(3, 60)}, pause_s=5)
    people = [somebody() for _ in range(3)]
    asked = [asyncio.create_task(rates.take(each, "read")) for each in people]
    await turns(1)
    asked[1].cancel()
    async with asyncio.timeout(30):
        found = await asyncio.gather(*asked, return_exceptions=True)
        again = await asyncio.gather(*(rates.take(each, "read") for each in people))
    assert isinstance(found[1], asyncio.CancelledError)
    assert [each.left for each in found if isinstance(each, Taken)] == [2, 2]
    assert [each.left for each in again if each] == [1, 2, 1]


async def test_what_is_no_bucket_in_a_buckets_place_goes(counting: Counting) -> None:
    rates = Rates(counting, {"read": Policy(3, 60)}, pause_s=5)
    people = [somebody() for _ in range(3)]
    bucket = f"{{rate:{people[1]}}}:read"
    await counting.call("SET", bucket, "no bucket")
    found = await asyncio.gather(*(rates.take(each, "read") for each in people))
    assert [each.left for each in found if each] == [2, 2, 2]
    assert 59_000 < await counting.call("PTTL", bucket) <= 60_000  # when it is full it is gone


async def test_what_cannot_be_asked_is_told_to_those_who_ask(counting: Counting) -> None:
    rates = Rates(counting, {"read": Policy(3, 60)}, pause_s=5)
    asked = (rates.take(each, "read") for each in (somebody(), "\ud800"))
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in found] == [UnicodeEncodeError] * 2


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 9])
async def test_closing_leaves_nobody_waiting_and_asks_nothing_more(redis_url: str, number: int) -> None:
    commands = RedisCommands(redis_url)
    rates = Rates(commands, {"read": Policy(3, 60)}, pause_s=5)
    await commands.call("PING")
    asked = asyncio.create_task(rates.take(somebody(), "read"))
    await turns(number)
    rates.close()
    commands.close()
    async with asyncio.timeout(30):
        assert await asked is None or number == 9  # it may be answered by then
        assert await rates.take(somebody(), "read") is None
    await turns(10)
    assert not commands.connected


async def test_what_is_off_carries_no_headers(http: ClientSession, edge: Edge) -> None:
    token = edge.issuer.token(somebody())
    reply = await ask(http, edge, "PUT", f"/v1/conversations/{WHERE}/read", token=token, json={})
    assert reply.status == 400
    assert "RateLimit" not in reply.headers


async def test_the_headers_are_for_pages_too(http: ClientSession, edge: Edge) -> None:
    reply = await ask(http, edge, "GET", "/v1/me", headers={"Origin": "https://splits.example"})
    exposed = reply.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"RateLimit", "RateLimit-Policy", "Retry-After"} <= set(exposed)


async def test_without_redis_nobody_is_refused_or_kept_waiting(
    keys: Keys, redis_url: str, issuer: Issuer, http: ClientSession
) -> None:
    async with proxy_to(redis_url) as proxy, run_edge(keys, proxy.url, issuer, rate_read="1/600") as edge:
        token = edge.issuer.token(somebody())
        assert (await ask(http, edge, "GET", "/v1/me", token=token)).status == 200
        assert (await ask(http, edge, "GET", "/v1/me", token=token)).status == 429
        proxy.freeze()
        started = time.monotonic()
        with capture_logs() as logs:
            for _ in range(20):
                assert (await ask(http, edge, "GET", "/v1/me", token=token)).status == 200
        waits = [each for each in logs if each["event"] == "rate_not_counted"]
        # One in five seconds waits for Redis, for a second; the others pass at once.
        assert 1 <= len(waits) <= 1 + (time.monotonic() - started) / 5


async def test_who_opens_too_many_sockets_is_refused_before_the_upgrade(edge: Edge) -> None:
    ada = somebody()
    for _ in range(4):
        (await enter(edge, ada)).abort()
    refused = await connect(edge, ada)
    assert (refused.status, refused.headers["ratelimit"].partition(";")[0]) == (429, '"connect"')
    contract.check_problem(orjson.loads(refused.body))
    assert int(refused.headers["retry-after"]) >= 1
    assert (await enter(edge, somebody())).status == 101
    assert edge.count("edge_handshakes_total", outcome="limited") == 1


async def test_who_floods_a_socket_is_refused_frame_by_frame_and_then_closed(edge: Edge) -> None:
    raw = await enter(edge, somebody())
    other = await enter(edge, somebody())
    ping = frame(orjson.dumps({"type": "message.send", "id": "1"}))
    for many, code in ((3, "validation_failed"), (3, "rate_limited")):
        for _ in range(many):
            raw.send(ping)
        for _ in range(many):
            answer = await raw.json()
            contract.check_frame(answer)
            assert answer["problem"]["code"] == code
    raw.send(ping)
    assert await raw.close_code() == 4004
    other.send(ping)
    assert (await other.json())["problem"]["code"] == "validation_failed"


async def test_who_floods_over_many_sockets_loses_the_flooding_ones_only(edge: Edge) -> None:
    ada = somebody()
    first, flooding, quiet = [await enter(edge, ada) for _ in range(3)]
    bob = await enter(edge, somebody())
    for raw, code in ((first, "validation_failed"),) * 3 + ((flooding, "validation_failed"),):
        await say(raw, type="message.send")
        assert (await raw.json())["problem"]["code"] == code
    # The budget of each socket has something left; that of the person has not.
    for raw in (flooding, flooding, flooding, quiet):
        await say(raw, type="message.send")
        answer = await raw.json()
        assert answer["problem"]["code"] == "rate_limited"
        assert 0 < answer["problem"]["retryAfterMs"] <= 20_000
    await say(flooding, type="message.send")
    assert await flooding.close_code() == 4004
    for raw in (first, quiet):
        await say(raw, type="message.send")
        assert (await raw.json())["problem"]["code"] == "rate_limited"
    await say(bob, type="message.send")
    assert (await bob.json())["problem"]["code"] == "validation_failed"


@pytest.mark.parametrize("opcode", [9, 10], ids=["pings", "pongs"])
async def test_who_floods_a_socket_without_a_word_is_closed_too(edge: Edge, opcode: int) -> None:
    raw = await enter(edge, somebody())
    raw.send(frame(b"x", opcode=opcode) * 6)
    await say(raw, type="message.send")
    assert await raw.close_code() == 4004


async def test_answers_to_pings_cost_a_socket_nothing(keys: Keys, redis_url: str, issuer: Issuer) -> None:
    async with run_edge(keys, redis_url, issuer, ws_ping_ms=200, rate_frames="1/60") as edge:
        raw = await enter(edge, somebody())
        for _ in range(4):
            opcode, payload = await raw.receive()
            assert opcode == 9
            raw.send(frame(payload, opcode=10))
        await say(raw, type="message.send")
        assert (await raw.json())["problem"]["code"] == "validation_failed"
