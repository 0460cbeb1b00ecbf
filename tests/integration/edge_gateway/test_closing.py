"""What ends a socket, and that its end is nobody else's."""

from __future__ import annotations

import asyncio
import time

import pytest
import redis.asyncio as redis

from servicekit.realtime import channel
from tests.support import contract
from tests.support.edge import Edge, run_edge
from tests.support.issuer import Issuer
from tests.support.keys import Keys
from tests.support.rawsocket import RawSocket, frame
from tests.support.sockets import connect, enter, message_event, somebody
from tests.support.waiting import eventually

BROKEN = {
    "a frame of 16 KiB and one byte": frame(b"x" * (16 * 1024 + 1)),
    "a frame of a megabyte": frame(b"x" * 1_000_000),
    "binary": frame(b"x", opcode=2),
    "not masked": frame(b"x", masked=False),
    "a reserved bit": frame(b"x", first=0xC1),
    "an unknown kind": frame(b"x", opcode=5),
    "a continuation of nothing": frame(b"x", opcode=0),
    "a long ping": frame(b"x" * 126, opcode=9),
    "empty fragments without end": frame(b"", first=0x01) + frame(b"", first=0x00) * 100,
    "fragments without end": frame(b"x" * 16_000, first=0x01) + frame(b"x" * 16_000, first=0x00),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_a_socket_is_closed_for_breaking_the_protocol_by(edge: Edge, what: str) -> None:
    raw = await enter(edge, somebody())
    raw.send(BROKEN[what])
    assert await raw.close_code() == 4503
    await raw.gone()


async def test_a_frame_of_16_kib_is_read(edge: Edge) -> None:
    raw = await enter(edge, somebody())
    padding = 16 * 1024 - len(b'{"type":"x","a":""}')
    raw.send(frame(b'{"type":"x","a":"' + b"p" * padding + b'"}'))
    assert (await raw.json())["problem"]["errors"][0]["pointer"] == "/type"


async def test_who_does_not_answer_a_ping_is_gone(keys: Keys, redis_url: str, issuer: Issuer) -> None:
    async with run_edge(keys, redis_url, issuer, ws_ping_ms=1500, ws_close_timeout_ms=200) as edge:
        silent, alive = await enter(edge, somebody()), await enter(edge, somebody())

        async def answer_pings() -> None:
            while True:
                opcode, payload = await alive.receive()
                assert opcode == 9
                alive.send(frame(payload, opcode=10))

        answering = asyncio.create_task(answer_pings())
        assert await silent.close_code() == 4000
        await silent.gone()  # it does not finish the handshake either: cut

        async def left() -> float:
            return edge.count("edge_sockets_open")

        await eventually(left, until=lambda sockets: sockets == 1)
        assert not answering.done()
        answering.cancel()


async def test_a_socket_that_is_old_enough_is_sent_away_and_may_come_back(
    keys: Keys, redis_url: str, issuer: Issuer
) -> None:
    async with run_edge(keys, redis_url, issuer, ws_max_age_s=1, ws_max_age_jitter=0.5) as edge:
        ada = somebody()
        for _ in range(2):
            raw = await connect(edge, ada)
            assert raw.status == 101
            assert await raw.close_code() == 4005


async def test_sockets_that_came_together_do_not_all_go_together(
    keys: Keys, redis_url: str, issuer: Issuer
) -> None:
    async with run_edge(keys, redis_url, issuer, ws_max_age_s=4, ws_max_age_jitter=0.75) as edge:
        sockets = [await enter(edge, somebody()) for _ in range(16)]
        came = time.monotonic()

        async def age(raw: RawSocket) -> float:
            assert await raw.close_code() == 4005
            return time.monotonic() - came

        ages = sorted(await asyncio.gather(*map(age, sockets)))
        assert ages[-1] - ages[0] > 0.75  # of three seconds, and a wheel that turns four times in one


async def test_a_slow_reader_is_closed_and_nobody_else_waits(
    keys: Keys, redis_url: str, issuer: Issuer, publisher: redis.Redis
) -> None:
    async with run_edge(keys, redis_url, issuer, ws_close_timeout_ms=500) as edge:
        ada = somebody()
        # Both at one edge, where one could make the other wait.
        stalled = await enter(edge, ada, receive_buffer=4096)
        reading = await enter(edge, ada)
        stalled.writer.transport.pause_reading()  # type: ignore[attr-defined]
        large, count = "x" * 60_000, 300

        for number in range(count):  # one by one, so that who reads is never behind
            await publisher.publish(channel(ada), message_event(number, large))
            assert (await reading.json())["cursor"] == f"17-{number}"

        async def closed_slow() -> float:
            return edge.count("edge_sockets_closed_total", code="4003")

        await eventually(closed_slow, until=lambda closes: closes == 1)

        async def left() -> float:
            return edge.count("edge_sockets_open")

        await eventually(left, until=lambda sockets: sockets == 1)
        await publisher.publish(channel(ada), message_event(count))
        assert (await reading.json())["cursor"] == f"17-{count}"


async def test_after_a_gap_in_redis_everybody_starts_over(
    keys: Keys, redis_url: str, issuer: Issuer, publisher: redis.Redis
) -> None:
    async with run_edge(keys, redis_url, issuer) as edge:
        ada = somebody()
        raw = await enter(edge, ada)
        await publisher.client_kill_filter(_type="pubsub")
        assert await raw.close_code() == 1012

        async def ready() -> bool:
            return all(edge.app.ready().values())

        await eventually(ready)
        again = await enter(edge, ada)
        await publisher.publish(channel(ada), message_event(1))
        assert (await again.json())["cursor"] == "17-1"


async def test_a_drain_sends_everybody_away_first(keys: Keys, redis_url: str, issuer: Issuer) -> None:
    async with run_edge(keys, redis_url, issuer, drain_seconds=3) as edge:
        raw, leaves = await enter(edge, somebody()), await enter(edge, somebody())
        stopping = asyncio.create_task(edge.app.stop())
        for each in (raw, leaves):
            goaway = await each.json()
            contract.check_frame(goaway)
            assert 0 <= goaway["data"]["reconnectInMs"] <= 3000
        assert edge.app.ready()["accepting"] is False
        assert (await connect(edge, somebody())).status == 503
        leaves.send(frame(b"\x03\xe9", opcode=8))
        assert await leaves.close_code() == 1001
        assert await raw.close_code() == 1012
        raw.send(frame(b"\x03\xf4", opcode=8))
        await raw.gone()
        await stopping
