"""What is said to everybody, at every edge."""

from __future__ import annotations

import asyncio

import orjson
import redis.asyncio as redis

from servicekit.realtime import EVERYBODY, channel, encode_frame
from tests.support import contract
from tests.support.edge import Edge, run_edge
from tests.support.issuer import Issuer
from tests.support.keys import Keys
from tests.support.rawsocket import RawSocket
from tests.support.sockets import connect, enter, hold_welcomes, message_event, realtime, somebody
from tests.support.waiting import eventually


def notice(text: str = "Back in five minutes.") -> bytes:
    """A frame as `chatctl announce` publishes it."""
    data = {"noticeId": "n", "code": "announcement", "severity": "info", "text": text}
    event = realtime("system.notice", "nobody", None)
    event.data = data
    return encode_frame(event)


async def text_of_next(raw: RawSocket) -> str:
    frame = await raw.json()
    contract.check_frame(frame)
    return str(frame["data"]["text"])


async def test_a_notice_reaches_every_socket_of_every_edge(
    edge: Edge, other_edge: Edge, publisher: redis.Redis
) -> None:
    ada = somebody()
    sockets = [await enter(edge, ada), await enter(edge, somebody()), await enter(other_edge, ada)]
    payload = notice()
    assert await publisher.publish(EVERYBODY, payload) == 2
    for raw in sockets:
        frame = await raw.json()
        contract.check_frame(frame)
        assert frame == orjson.loads(payload)


async def test_rubbish_for_everybody_harms_nobody(edge: Edge, publisher: redis.Redis) -> None:
    raw = await enter(edge, somebody())
    for payload in (
        b"",
        b"\n",
        b"nonsense",
        b'{"type":"system.notice","cursor":"17-1"}',
        notice("x" * 20_000),
    ):
        await publisher.publish(EVERYBODY, payload)
    await publisher.publish(EVERYBODY, notice("good"))
    assert await text_of_next(raw) == "good"


async def test_who_has_not_caught_up_is_not_told(
    keys: Keys, redis_url: str, issuer: Issuer, publisher: redis.Redis
) -> None:
    async with run_edge(keys, redis_url, issuer) as edge:
        reading, go_on = hold_welcomes(edge)
        coming = asyncio.create_task(connect(edge, somebody()))
        await reading.wait()
        await publisher.publish(EVERYBODY, notice("too early"))
        go_on.set()
        raw = await coming
        assert (await raw.json())["type"] == "system.welcome"
        assert (await raw.json())["type"] == "system.caught_up"
        await publisher.publish(EVERYBODY, notice("in time"))
        assert await text_of_next(raw) == "in time"


async def test_a_reader_who_is_behind_is_not_told_and_stays_and_has_every_durable_event(
    keys: Keys, redis_url: str, issuer: Issuer, publisher: redis.Redis
) -> None:
    async with run_edge(keys, redis_url, issuer) as edge:
        ada = somebody()
        stalled = await enter(edge, ada, receive_buffer=4096)
        reading = await enter(edge, somebody())
        stalled.writer.transport.pause_reading()  # type: ignore[attr-defined]
        texts = [f"{number} {'x' * 12_000}" for number in range(300)]
        for text in texts:  # one by one, so that who reads is never behind
            await publisher.publish(EVERYBODY, notice(text))
            assert await text_of_next(reading) == text
        assert edge.count("edge_frames_dropped_total") > 0
        await publisher.publish(channel(ada), message_event(1))
        stalled.writer.transport.resume_reading()  # type: ignore[attr-defined]
        told = [await stalled.json()]
        while told[-1]["type"] == "system.notice":
            told.append(await stalled.json())
        assert told[-1]["cursor"] == "17-1"
        assert len(told) - 1 == 300 - edge.count("edge_frames_dropped_total")
        assert edge.count("edge_sockets_closed_total", code="4003") == 0


async def test_after_a_gap_in_redis_everybody_can_be_told_again(
    keys: Keys, redis_url: str, issuer: Issuer, publisher: redis.Redis
) -> None:
    async with run_edge(keys, redis_url, issuer) as edge:
        before = await enter(edge, somebody())
        await publisher.client_kill_filter(_type="pubsub")
        assert await before.close_code() == 1012

        async def ready() -> bool:
            return all(edge.app.ready().values())

        await eventually(ready)
        raw = await enter(edge, somebody())
        await publisher.publish(EVERYBODY, notice("again"))
        assert await text_of_next(raw) == "again"
