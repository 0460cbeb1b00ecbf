"""Publishing to a real RabbitMQ."""

from __future__ import annotations

import asyncio
import time

import orjson
import pytest

from servicekit.bus import BusPublisher
from servicekit.outbox import BusEvent
from servicekit.outbox.events import SinkUnavailable
from tests.support.outbox import BusInbox, bus_event, full_queue
from tests.support.proxy import proxy_to


async def test_a_message_is_a_persistent_cloud_event(amqp_url: str, inbox: BusInbox) -> None:
    publisher = BusPublisher(amqp_url, service="message_svc")
    event = bus_event(inbox.key)
    event.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
    assert await publisher.publish([event]) == {}
    message = await inbox.next()
    assert message.content_type == "application/cloudevents+json; charset=utf-8"
    assert message.message_id == str(event.event_id)
    assert message.delivery_mode == 2
    assert message.headers == {"traceparent": event.traceparent}
    body = orjson.loads(message.body)
    assert body["type"] == message.routing_key == inbox.key
    assert body["source"] == "/message_svc"
    assert body["data"] == {"number": 1}
    assert body["traceparent"] == event.traceparent
    await publisher.close()


async def test_a_batch_stays_in_order(amqp_url: str, inbox: BusInbox) -> None:
    publisher = BusPublisher(amqp_url, service="tests")
    assert await publisher.publish([bus_event(inbox.key, number) for number in range(500)]) == {}
    received = await inbox.take(500)
    assert [event["data"]["number"] for event in received] == list(range(500))
    await publisher.close()


async def test_a_message_longer_than_a_frame_arrives_whole(amqp_url: str, inbox: BusInbox) -> None:
    publisher = BusPublisher(amqp_url, service="tests")
    event = bus_event(inbox.key)
    long = BusEvent(event.event_id, inbox.key, "c", {"text": "x" * 300_000}, event.occurred_at)
    assert await publisher.publish([long, bus_event(inbox.key, 2)]) == {}
    first, second = await inbox.take(2)
    assert first["data"] == long.payload
    assert second["data"] == {"number": 2}
    await publisher.close()


async def test_an_event_that_nobody_listens_to_is_published(amqp_url: str) -> None:
    publisher = BusPublisher(amqp_url, service="tests")
    assert await publisher.publish([bus_event("test.nobody.v1")]) == {}
    await publisher.close()


async def test_a_broker_that_is_away_is_said_so_at_once_and_found_again(
    amqp_url: str, inbox: BusInbox
) -> None:
    async with proxy_to(amqp_url) as proxy:
        publisher = BusPublisher(proxy.url, service="tests")
        await publisher.publish([bus_event(inbox.key, 1)])
        await proxy.cut()
        for _ in range(2):
            started = time.monotonic()
            with pytest.raises(SinkUnavailable):
                await publisher.publish([bus_event(inbox.key, 2)])
            assert time.monotonic() - started < 30  # 5 s, and the machine may be slow
        await proxy.heal()
        await publisher.publish([bus_event(inbox.key, 3)])
        assert [event["data"]["number"] for event in await inbox.take(2)] == [1, 3]
        await publisher.close()


async def test_a_broker_that_hangs_is_away_after_the_timeout(amqp_url: str, inbox: BusInbox) -> None:
    async with proxy_to(amqp_url) as proxy:
        publisher = BusPublisher(proxy.url, service="tests", timeout_s=3)
        await publisher.publish([bus_event(inbox.key, 1)])
        proxy.freeze()
        # Two at once: the second waits behind the first, and neither may end the other's task.
        attempts = [publisher.publish([bus_event(inbox.key, 2)]) for _ in range(2)]
        started = time.monotonic()
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [SinkUnavailable] * 2
        assert time.monotonic() - started < 30
        await proxy.heal()
        await publisher.publish([bus_event(inbox.key, 3)])
        await publisher.close()


async def test_a_connection_cut_in_the_middle_of_a_batch_fails_the_batch(
    amqp_url: str, inbox: BusInbox
) -> None:
    async with proxy_to(amqp_url) as proxy:
        publisher = BusPublisher(proxy.url, service="tests")
        await publisher.publish([bus_event(inbox.key)])
        proxy.freeze()
        batch = [bus_event(inbox.key) for _ in range(50)]
        outcome, _ = await asyncio.gather(publisher.publish(batch), proxy.cut(), return_exceptions=True)
        assert isinstance(outcome, SinkUnavailable)
        await publisher.close()


async def test_only_the_event_is_refused_that_a_queue_will_not_keep(amqp_url: str, inbox: BusInbox) -> None:
    publisher = BusPublisher(amqp_url, service="tests")
    async with full_queue(amqp_url) as full:
        await publisher.publish([bus_event(full)])
        too_many, other = bus_event(full), bus_event(inbox.key)
        no_json = BusEvent(too_many.event_id, inbox.key, "c", {"set": {1}}, too_many.occurred_at)
        assert set(await publisher.publish([too_many, other])) == {too_many.event_id}
        assert set(await publisher.publish([no_json])) == {no_json.event_id}
    assert [event["id"] for event in await inbox.take(1)] == [str(other.event_id)]
    await publisher.close()
