"""Events on their way from Redis to sockets: whose, in which order, and what if one cannot be told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis.asyncio as redis
from splits.chat.message.v1 import message_pb2 as message_pb
from splits.chat.message.v1 import service_pb2 as message_rpc

from servicekit.errors import ChatError, Reason
from servicekit.realtime import channel
from tests.support import contract
from tests.support.edge import Edge, run_edge
from tests.support.issuer import Issuer
from tests.support.keys import Keys
from tests.support.rawsocket import frame
from tests.support.sockets import (
    OTHER,
    WHERE,
    enter,
    event,
    message_event,
    show_conversation,
    somebody,
    stored_message,
)
from tests.support.waiting import eventually


async def test_an_event_reaches_every_socket_of_its_user_and_nobody_else(
    edge: Edge, other_edge: Edge, publisher: redis.Redis
) -> None:
    ada, bob = somebody(), somebody()
    mine = [await enter(each, ada) for each in (edge, edge, other_edge)]
    others = [await enter(each, bob) for each in (edge, other_edge)]
    await publisher.publish(channel(ada), message_event(1, "for ada"))
    await publisher.publish(channel(bob), message_event(2, "for bob"))
    for sockets, said, cursor in ((mine, "for ada", "17-1"), (others, "for bob", "17-2")):
        for raw in sockets:
            received = await raw.json()
            contract.check_frame(received)
            assert (received["data"]["message"]["text"], received["cursor"]) == (said, cursor)


async def test_a_channel_is_listened_to_only_while_somebody_is_there(
    edge: Edge, publisher: redis.Redis
) -> None:
    ada = somebody()

    async def listeners() -> int:
        return int((await publisher.pubsub_numsub(channel(ada)))[0][1])

    # Both at one edge: it listens once for all of its sockets.
    first, second = await enter(edge, ada), await enter(edge, ada)
    assert await listeners() == 1
    first.send(frame(b"\x03\xe8", opcode=8))
    assert await first.close_code() == 1000
    assert await listeners() == 1
    second.abort()
    await eventually(listeners, until=lambda count: count == 0)
    third = await enter(edge, ada)
    await publisher.publish(channel(ada), message_event(1))
    assert (await third.json())["type"] == "message.created"


async def test_later_events_never_overtake_one_that_is_being_joined(
    keys: Keys, redis_url: str, issuer: Issuer, publisher: redis.Redis
) -> None:
    async with run_edge(keys, redis_url, issuer) as edge:
        gate = asyncio.Event()
        asked = show_conversation(edge, gate=gate)
        edge.services.keep(stored_message(3), stored_message(5))
        ada, bob = somebody(), somebody()
        # Both at one edge, where one could make the other wait.
        raw, other = await enter(edge, ada), await enter(edge, bob)
        await publisher.publish(channel(ada), message_event(1))
        await publisher.publish(channel(ada), event("conversation.updated", number=2))
        await publisher.publish(channel(ada), message_event(3))
        await publisher.publish(channel(ada), event("conversation.accepted", OTHER, number=4))
        await publisher.publish(channel(ada), message_event(5))
        await publisher.publish(channel(bob), message_event(6))
        assert (await raw.json())["cursor"] == "17-1"
        assert (await other.json())["cursor"] == "17-6"  # another user does not wait
        gate.set()
        rest = [await raw.json() for _ in range(4)]
        assert [each["cursor"] for each in rest] == ["17-2", "17-3", "17-4", "17-5"]
        for each in rest:
            contract.check_frame(each)
        assert [each["data"]["conversation"]["id"] for each in (rest[0], rest[2])] == [WHERE, OTHER]
        assert asked == [WHERE, OTHER]


async def test_a_join_that_fails_is_tried_again(
    keys: Keys, redis_url: str, issuer: Issuer, publisher: redis.Redis
) -> None:
    async with run_edge(keys, redis_url, issuer) as edge:
        show_conversation(edge)
        working = edge.services.answers["GetMemberViews"]
        failures = iter(range(2))

        def fails_twice(request: Any, user: Any) -> Any:
            if next(failures, None) is not None:
                raise ChatError(Reason.INTERNAL, "a fault")
            return working(request, user)

        edge.services.answers["GetMemberViews"] = fails_twice
        ada = somebody()
        raw = await enter(edge, ada)
        await publisher.publish(channel(ada), event("conversation.updated"))
        assert (await raw.json())["data"]["conversation"]["id"] == WHERE


@pytest.mark.parametrize("fault", ["no view", "a state of a later release"])
async def test_an_event_that_cannot_be_joined_closes_the_users_sockets_and_no_others(
    keys: Keys,
    redis_url: str,
    issuer: Issuer,
    publisher: redis.Redis,
    fault: str,
) -> None:
    async with run_edge(keys, redis_url, issuer, event_patience_ms=300) as edge:
        show_conversation(edge, state=99 if fault != "no view" else message_pb.CONVERSATION_STATE_ACTIVE)
        if fault == "no view":
            nothing = message_rpc.GetMemberViewsResponse()
            edge.services.answers["GetMemberViews"] = lambda _request, _user: nothing
        ada, bob = somebody(), somebody()
        first, second, other = await enter(edge, ada), await enter(edge, ada), await enter(edge, bob)
        await publisher.publish(channel(ada), event("conversation.updated", number=1))
        await publisher.publish(channel(ada), message_event(2))
        for raw in (first, second):
            opcode, payload = await raw.receive()
            assert (opcode, payload[:2]) == (8, (1012).to_bytes(2, "big"))  # and not the event behind it
        await publisher.publish(channel(bob), message_event(3))
        assert (await other.json())["cursor"] == "17-3"
        assert edge.count("edge_event_joins_total", outcome="failed") == 1


async def test_rubbish_on_a_channel_harms_nobody(edge: Edge, publisher: redis.Redis) -> None:
    ada = somebody()
    raw = await enter(edge, ada)
    for payload in (b"", b"\n", b"17-0\nnonsense", b"\xff\xfe"):
        await publisher.publish(channel(ada), payload)
    await publisher.publish(channel(ada), message_event(1))
    assert (await raw.json())["cursor"] == "17-1"
