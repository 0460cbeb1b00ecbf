"""Sockets as presence_svc hears of them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from splits.chat.presence.v1 import service_pb2 as presence_rpc

from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser
from tests.support.edge import Edge, run_edge
from tests.support.issuer import Issuer
from tests.support.keys import Keys
from tests.support.proxy import proxy_to
from tests.support.rawsocket import RawSocket, frame
from tests.support.scripted import never
from tests.support.sockets import enter, say, somebody
from tests.support.waiting import eventually

CLOSE = frame(b"\x03\xe8", opcode=8)
Word = tuple[str, str]


def note_reports(edge: Edge) -> list[Word]:
    """User and status of each, from now on."""
    heard: list[Word] = []

    def report(request: Any, _user: ActingUser | None) -> presence_rpc.ReportConnectionsResponse:
        for each in request.connections:
            status = presence_rpc.Status.Name(each.status).removeprefix("STATUS_").lower()
            heard.append((each.user_id, status))
        return presence_rpc.ReportConnectionsResponse()

    edge.services.answers["ReportConnections"] = report
    return heard


async def statuses(heard: list[Word], user: str, expected: list[str]) -> None:
    async def now() -> list[str]:
        return [status for who, status in heard if who == user]

    await eventually(now, until=lambda found: found == expected)


async def test_a_socket_is_reported_as_it_comes_changes_and_goes(edge: Edge) -> None:
    heard, ada = note_reports(edge), somebody()
    raw = await enter(edge, ada)
    await statuses(heard, ada, ["online"])
    await say(raw, type="presence.ping", id="1")
    await say(raw, type="presence.ping", id="2", status="away")
    assert [(await raw.json())["replyTo"] for _ in range(2)] == ["1", "2"]
    await statuses(heard, ada, ["online", "away"])
    raw.send(CLOSE)
    await statuses(heard, ada, ["online", "away", "offline"])


async def test_answers_to_pings_renew_what_was_said_last(keys: Keys, redis_url: str, issuer: Issuer) -> None:
    async with run_edge(keys, redis_url, issuer, ws_ping_ms=300, ws_presence_every_ms=200) as edge:
        heard, ada = note_reports(edge), somebody()
        raw = await enter(edge, ada)
        await say(raw, type="presence.ping", status="away")
        for _ in range(4):
            opcode, payload = await raw.receive()
            assert opcode == 9
            raw.send(frame(payload, opcode=10))

        async def words() -> int:
            return len(heard)

        await eventually(words, until=lambda found: found >= 3)
        assert {status for _, status in heard[1:]} == {"away"}
        raw.abort()

        async def last() -> Word:
            return heard[-1]

        await eventually(last, until=lambda word: word == (ada, "offline"))


async def test_who_vanishes_without_a_word_is_gone_within_two_heartbeats(
    keys: Keys, redis_url: str, issuer: Issuer
) -> None:
    ping_s, machine_s = 1.0, 2.0
    async with (
        run_edge(keys, redis_url, issuer, ws_ping_ms=int(ping_s * 1000), ws_close_timeout_ms=200) as edge,
        proxy_to(edge.url) as network,
    ):
        heard, ada = note_reports(edge), somebody()
        token = edge.issuer.token(ada)
        raw = await RawSocket.connect(f"{network.url}/ws/chat", {"Authorization": f"Bearer {token}"})
        assert [(await raw.json())["type"] for _ in range(2)] == ["system.welcome", "system.caught_up"]
        await statuses(heard, ada, ["online"])

        network.freeze()  # nothing says that anybody is gone: no FIN, no reset
        began = time.monotonic()
        await statuses(heard, ada, ["online", "offline"])
        assert time.monotonic() - began < 2 * ping_s + machine_s
        assert edge.count("edge_sockets_closed_total", code="4000") == 1

        async def left() -> float:
            return edge.count("edge_sockets_open")

        await eventually(left, until=lambda sockets: sockets == 0)


async def test_who_looks_at_anothers_account_does_not_make_them_appear(edge: Edge) -> None:
    heard, ada, bob = note_reports(edge), somebody(), somebody()
    support = await enter(edge, ada, token=edge.issuer.token(ada, act={"sub": "support"}))
    await say(support, type="presence.ping", id="1", status="online")
    assert (await support.json())["type"] == "ack"
    support.send(CLOSE)
    await support.gone()
    own = await enter(edge, bob)
    await statuses(heard, bob, ["online"])
    own.abort()
    await statuses(heard, ada, [])


async def test_without_presence_sockets_open_and_close_all_the_same(edge: Edge) -> None:
    def away(_request: Any, _user: ActingUser | None) -> None:
        raise ChatError(Reason.UNAVAILABLE, "Away.")

    edge.services.answers["ReportConnections"] = away
    ada, bob = somebody(), somebody()
    raw, leaves = await enter(edge, ada), await enter(edge, bob)
    await say(raw, type="presence.ping", id="1", status="away")
    assert (await raw.json())["type"] == "ack"

    async def failed() -> float:
        return edge.count("edge_presence_reports_total", outcome="failed")

    await eventually(failed)
    leaves.send(CLOSE)
    assert await leaves.close_code() == 1000
    heard = note_reports(edge)
    await statuses(heard, ada, ["away"])
    await statuses(heard, bob, ["offline"])


async def test_at_the_end_everybody_is_told_gone(keys: Keys, redis_url: str, issuer: Issuer) -> None:
    async with run_edge(keys, redis_url, issuer, ws_close_timeout_ms=100) as edge:
        heard = note_reports(edge)
        people = [somebody() for _ in range(5)]
        sockets = [await enter(edge, each) for each in people]
        await edge.app.stop()
        for raw in sockets:
            assert await raw.close_code() == 1012
        assert sorted(who for who, status in heard if status == "offline") == sorted(people)


async def test_a_presence_that_does_not_answer_holds_the_end_up_for_seconds_only(
    keys: Keys, redis_url: str, issuer: Issuer
) -> None:
    async with run_edge(keys, redis_url, issuer, ws_close_timeout_ms=100) as edge:
        edge.services.answers["ReportConnections"] = lambda _request, _user: never()
        raw = await enter(edge, somebody())
        async with asyncio.timeout(20):
            await edge.app.stop()
        assert await raw.close_code() == 1012
