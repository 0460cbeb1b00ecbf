"""Publishing to sockets through a real Redis."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
import redis.asyncio as redis
from redis import Redis as SyncRedis

from deploy.local.redis import Redis as RedisServer
from servicekit.outbox.events import SinkUnavailable
from servicekit.realtime import _RECIPIENTS_A_CALL, _SCRIPT, RealtimePublisher, channel, stream_key
from tests.support.outbox import realtime_event, streamed
from tests.support.proxy import proxy_to
from tests.support.waiting import eventually


@pytest.fixture
def user() -> str:
    return f"user_{secrets.token_hex(6)}"


async def test_an_event_is_in_the_stream_by_the_cursor_that_its_frame_carries(
    redis_url: str, redis_client: redis.Redis, user: str
) -> None:
    publisher = RealtimePublisher(redis_url)
    other = f"{user}-other"
    event = realtime_event(user, seq=3, recipients=(user, other))
    async with redis_client.pubsub(ignore_subscribe_messages=True) as listener:
        await listener.subscribe(channel(user), channel(other))
        assert await publisher.publish([event]) == {}
        frames: dict[str, bytes] = {}
        while len(frames) < 2:
            message = await listener.get_message(timeout=30)
            if message is not None:
                frames[message["channel"].decode()] = message["data"]
    for name in (user, other):
        cursor, _, frame = frames[channel(name)].partition(b"\n")
        entries: Any = await redis_client.xrange(stream_key(name))
        ((entry, fields),) = entries
        assert entry == cursor
        assert fields == {
            b"type": b"message.created",
            b"eventId": str(event.event_id).encode(),
            b"conversationId": str(event.conversation_id).encode(),
            b"refs": b'{"seq":3}',
            b"at": orjson.loads(frame)["occurredAt"].encode(),
        }
        assert orjson.loads(frame)["data"] == event.data
    await publisher.close()


@pytest.mark.parametrize("recipients", [1, 2, _RECIPIENTS_A_CALL, 2 * _RECIPIENTS_A_CALL + 1])
async def test_every_recipient_has_the_event_however_many_there_are(
    redis_url: str, redis_client: redis.Redis, user: str, recipients: int
) -> None:
    publisher = RealtimePublisher(redis_url)
    everybody = tuple(f"{user}-{number}" for number in range(recipients))
    events = [realtime_event(user, number, recipients=everybody) for number in range(2)]
    events.insert(1, realtime_event(user, recipients=()))
    sent = [str(events[0].event_id), str(events[2].event_id)]
    async with redis_client.pubsub(ignore_subscribe_messages=True) as listener:
        await listener.subscribe(*map(channel, everybody))
        assert await publisher.publish(events) == {}
        told: dict[str, list[bytes]] = {}
        while sum(map(len, told.values())) < 2 * recipients:
            message = await listener.get_message(timeout=30)
            if message is not None:
                told.setdefault(message["channel"].decode(), []).append(message["data"])
    for name in everybody:
        entries: Any = await redis_client.xrange(stream_key(name))
        assert [fields[b"eventId"].decode() for _, fields in entries] == sent
        frames = [frame.partition(b"\n") for frame in told[channel(name)]]
        assert [cursor for cursor, _, _ in frames] == [entry for entry, _ in entries]
        assert [orjson.loads(frame)["eventId"] for _, _, frame in frames] == sent
        assert await redis_client.ttl(stream_key(name)) > 7 * 86_400
    await publisher.close()


async def test_who_is_named_twice_has_the_event_twice(
    redis_url: str, redis_client: redis.Redis, user: str
) -> None:
    publisher = RealtimePublisher(redis_url)
    event = realtime_event(user, recipients=(user, user))
    assert await publisher.publish([event]) == {}
    assert await streamed(redis_client, user) == [str(event.event_id)] * 2
    await publisher.close()


async def test_the_stream_keeps_no_body(redis_url: str, redis_client: redis.Redis, user: str) -> None:
    publisher = RealtimePublisher(redis_url)
    await publisher.publish([realtime_event(user, data={"message": {"text": "secret words"}})])
    entries = await redis_client.xrange(stream_key(user))
    assert entries
    assert "secret" not in repr(entries)
    await publisher.close()


async def test_events_stay_in_the_order_given(redis_url: str, redis_client: redis.Redis, user: str) -> None:
    publisher = RealtimePublisher(redis_url, max_len=10_000)
    events = [realtime_event(user, number) for number in range(2500)]  # several pipelines
    await publisher.publish(events)
    assert await streamed(redis_client, user) == [str(event.event_id) for event in events]
    await publisher.close()


async def test_a_stream_is_bounded_in_length(redis_url: str, redis_client: redis.Redis, user: str) -> None:
    publisher = RealtimePublisher(redis_url, max_len=100)
    events = [realtime_event(user, number) for number in range(1000)]
    await publisher.publish(events)
    kept = await streamed(redis_client, user)
    assert 100 <= len(kept) <= 250  # Redis drops whole nodes, 100 entries unless configured
    assert kept[-1] == str(events[-1].event_id)
    await publisher.close()


async def test_a_stream_is_bounded_in_age_and_goes_when_nothing_comes(
    redis_url: str, redis_client: redis.Redis, user: str
) -> None:
    publisher = RealtimePublisher(redis_url, max_age_s=1)
    began = time.monotonic()
    await publisher.publish([realtime_event(user)])
    gone_after = await redis_client.pttl(stream_key(user)) / 1000
    assert 86_401 - (time.monotonic() - began) - 0.1 <= gone_after <= 86_401

    async def publish_another() -> list[str]:
        last = realtime_event(user)
        await publisher.publish([last])
        kept = await streamed(redis_client, user)
        assert kept[-1] == str(last.event_id)
        return kept

    (first,) = await streamed(redis_client, user)
    await eventually(publish_another, until=lambda kept: first not in kept)
    await publisher.close()


async def test_a_shorter_age_holds_for_streams_that_there_are_already(
    redis_url: str, redis_client: redis.Redis, user: str
) -> None:
    before, after = RealtimePublisher(redis_url), RealtimePublisher(redis_url, max_age_s=60)
    await before.publish([realtime_event(user)])
    await after.publish([realtime_event(user)])
    assert await redis_client.ttl(stream_key(user)) <= 60 + 86_400
    await before.close()
    await after.close()


async def test_a_stream_that_nothing_would_end_is_given_its_time(
    redis_url: str, redis_client: redis.Redis, user: str
) -> None:
    publisher = RealtimePublisher(redis_url)
    await publisher.publish([realtime_event(user)])
    await redis_client.persist(stream_key(user))
    await publisher.publish([realtime_event(user)])
    assert await redis_client.ttl(stream_key(user)) > 7 * 86_400
    await publisher.close()


async def test_a_flushed_script_is_loaded_again(redis_server: RedisServer, user: str) -> None:
    publisher = RealtimePublisher(redis_server.url)
    client = redis.Redis.from_url(redis_server.url)
    first, second = realtime_event(user), realtime_event(user)
    await publisher.publish([first])
    await client.script_flush()
    await publisher.publish([second])
    assert await streamed(client, user) == [str(first.event_id), str(second.event_id)]
    await client.aclose()
    await publisher.close()


async def test_a_script_that_another_loads_meanwhile_puts_no_event_before_its_predecessor(
    redis_server: RedisServer, user: str
) -> None:
    """As when Redis was restarted and all come back at once."""
    client = redis.Redis.from_url(redis_server.url)
    address = urlsplit(redis_server.url)

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(address.hostname, address.port)
        while data := await reader.read(65536):
            first, second, rest = data.partition(b"\r\n*")
            there_writer.write(first + b"\r\n" if second else first)
            writer.write(await there_reader.read(65536))
            if second:
                await client.script_load(_SCRIPT.source)
                there_writer.write(b"*" + rest)
                writer.write(await there_reader.read(65536))
        there_writer.close()
        writer.close()

    between = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    port = between.sockets[0].getsockname()[1]
    publisher = RealtimePublisher(f"redis://:{address.password}@127.0.0.1:{port}")
    events = [realtime_event(user), realtime_event(user)]
    assert await publisher.publish(events) == {}
    assert await streamed(client, user) == [str(event.event_id) for event in events]
    await publisher.close()
    between.close()
    await client.aclose()


async def test_a_flushed_redis_takes_the_next_event(redis_server: RedisServer, user: str) -> None:
    publisher = RealtimePublisher(redis_server.url)
    client = redis.Redis.from_url(redis_server.url)
    await publisher.publish([realtime_event(user)])
    await client.flushall()
    after = realtime_event(user)
    assert await publisher.publish([after]) == {}
    assert await streamed(client, user) == [str(after.event_id)]
    await client.aclose()
    await publisher.close()


async def test_a_restarted_redis_takes_the_next_event(redis_server: RedisServer, user: str) -> None:
    publisher = RealtimePublisher(redis_server.url)
    await publisher.publish([realtime_event(user)])
    redis_server.children.pop().kill()
    with pytest.raises(SinkUnavailable):
        await publisher.publish([realtime_event(user)])
    await redis_server.start()
    after = realtime_event(user)
    assert await publisher.publish([after]) == {}  # the first after the restart, script and connection gone
    client = redis.Redis.from_url(redis_server.url)
    assert await streamed(client, user) == [str(after.event_id)]
    await client.aclose()
    await publisher.close()


async def test_a_full_redis_is_away_rather_than_the_event_refused(
    redis_server: RedisServer, user: str
) -> None:
    publisher = RealtimePublisher(redis_server.url)
    client = redis.Redis.from_url(redis_server.url)
    await client.config_set("maxmemory", "1mb")
    with pytest.raises(SinkUnavailable):
        await publisher.publish([realtime_event(user)])
    await client.config_set("maxmemory", "0")
    assert await publisher.publish([realtime_event(user)]) == {}
    await client.aclose()
    await publisher.close()


async def test_a_redis_that_only_reads_is_away(redis_server: RedisServer, user: str) -> None:
    publisher = RealtimePublisher(redis_server.url)
    event = realtime_event(user, recipients=(user, f"{user}-other"))
    client = redis.Redis.from_url(redis_server.url)
    await client.replicaof("127.0.0.1", 1)
    with pytest.raises(SinkUnavailable):
        await publisher.publish([event])
    await client.replicaof("NO", "ONE")
    assert await publisher.publish([event]) == {}
    for name in event.recipients:
        assert await streamed(client, name) == [str(event.event_id)]
    await client.aclose()
    await publisher.close()


async def test_a_stream_that_takes_nothing_more_keeps_the_event_from_nobody_else(
    redis_url: str, redis_client: redis.Redis, user: str
) -> None:
    publisher = RealtimePublisher(redis_url)
    full = f"{user}-full"
    await redis_client.xadd(stream_key(full), {"its": "last"}, id=f"{2**64 - 1}-{2**64 - 1}")
    before, after = f"{user}-before", f"{user}-after"
    event = realtime_event(user, recipients=(before, full, after))
    with pytest.raises(SinkUnavailable):
        await publisher.publish([event])
    for name in (before, after):
        assert await streamed(redis_client, name) == [str(event.event_id)]
    assert await redis_client.xlen(stream_key(full)) == 1
    await redis_client.delete(stream_key(full))
    await publisher.close()


async def test_a_redis_that_hangs_is_away_after_the_timeout(redis_url: str, user: str) -> None:
    async with proxy_to(redis_url) as proxy:
        publisher = RealtimePublisher(proxy.url, timeout_s=3)
        await publisher.publish([realtime_event(user)])
        proxy.freeze()
        started = time.monotonic()
        with pytest.raises(SinkUnavailable):
            await publisher.publish([realtime_event(user)])
        assert time.monotonic() - started < 20
        await proxy.heal()
        assert await publisher.publish([realtime_event(user)]) == {}
        await publisher.close()


async def test_a_connection_that_died_unnoticed_is_tried_once_more(
    redis_server: RedisServer, user: str
) -> None:
    publisher = RealtimePublisher(redis_server.url)
    first, second = realtime_event(user), realtime_event(user)
    await publisher.publish([first])
    with SyncRedis.from_url(redis_server.url) as client:
        # No turn of the loop between: the publisher writes to a connection whose end it has not seen.
        client.client_kill_filter(_type="normal", skipme=True)
        assert await publisher.publish([second]) == {}
        entries: Any = client.xrange(stream_key(user))
    assert [fields[b"eventId"].decode() for _, fields in entries] == [
        str(event.event_id) for event in (first, second)
    ]
    await publisher.close()


async def test_an_answer_that_the_network_lost_is_no_answer(
    redis_url: str, redis_client: redis.Redis, user: str
) -> None:
    async with proxy_to(redis_url) as proxy:
        publisher = RealtimePublisher(proxy.url, timeout_s=20)
        await publisher.publish([realtime_event(user)])
        proxy.freeze()
        event = realtime_event(user)
        publishing = asyncio.create_task(publisher.publish([event]))
        await asyncio.sleep(0)  # it has begun
        await proxy.cut()
        with pytest.raises(SinkUnavailable):
            await publishing
        await proxy.heal()
        assert await publisher.publish([event]) == {}
        assert (await streamed(redis_client, user))[-1] == str(event.event_id)
        await publisher.close()


async def test_what_nobody_waits_for_any_more_is_not_published_when_the_connection_comes_about(
    redis_url: str, redis_client: redis.Redis, user: str
) -> None:
    async with proxy_to(redis_url) as proxy:
        proxy.freeze()
        publisher = RealtimePublisher(proxy.url, timeout_s=20)
        taken_back, later = realtime_event(user), realtime_event(user)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await publisher.publish([taken_back])
        await proxy.heal()
        assert await publisher.publish([later]) == {}
        assert await streamed(redis_client, user) == [str(later.event_id)]
        await publisher.close()


def test_what_is_no_address_of_a_redis_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="URL"):
        RealtimePublisher("http://127.0.0.1:6379")


async def test_only_the_event_is_refused_that_cannot_be_published(
    redis_url: str, redis_client: redis.Redis, user: str
) -> None:
    publisher = RealtimePublisher(redis_url)
    good = realtime_event(user)
    no_json = realtime_event(user, data={"text": "\ud800"})
    assert set(await publisher.publish([no_json, good])) == {no_json.event_id}
    assert await streamed(redis_client, user) == [str(good.event_id)]
    await publisher.close()


async def test_something_else_in_a_streams_place_is_removed_rather_than_the_event_published_for_ever(
    redis_url: str, redis_client: redis.Redis, user: str
) -> None:
    publisher = RealtimePublisher(redis_url)
    taken, other = f"{user}-taken", f"{user}-other"
    await redis_client.set(stream_key(taken), "not a stream", ex=600)
    event = realtime_event(user, recipients=(user, taken, other))
    assert await publisher.publish([event]) == {}
    for name in event.recipients:
        assert await streamed(redis_client, name) == [str(event.event_id)]
        assert await redis_client.ttl(stream_key(name)) > 7 * 86_400
    await publisher.close()
