"""A socket that comes back gets exactly what it missed, as it stands now; or is told to start over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import orjson
import pytest_asyncio
import redis.asyncio as redis
from google.protobuf.timestamp_pb2 import Timestamp
from splits.chat.message.v1 import message_pb2 as message_pb
from splits.chat.message.v1 import service_pb2 as message_rpc

from servicekit.outbox.events import RealtimeEvent
from servicekit.realtime import RealtimePublisher, stream_key
from tests.support import contract
from tests.support.edge import Edge, run_beside, run_edge
from tests.support.issuer import Issuer
from tests.support.keys import Keys
from tests.support.resuming import come, cursors, leave
from tests.support.sockets import OTHER, WHERE, connect, realtime, show_conversation, somebody, stored_message


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def edge(keys: Keys, redis_url: str, issuer: Issuer) -> AsyncIterator[Edge]:
    """One of the module's own: what its services show stays."""
    async with run_edge(keys, redis_url, issuer) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def other_edge(edge: Edge) -> AsyncIterator[Edge]:
    async with run_beside(edge) as running:
        yield running


async def test_what_was_missed_follows_in_order_and_then_it_is_live(
    edge: Edge, other_edge: Edge, service: RealtimePublisher, publisher: redis.Redis
) -> None:
    show_conversation(edge)
    ada = somebody()
    for seq in range(1, 6):
        edge.services.keep(stored_message(seq, f"m{seq}"))
    await service.publish([realtime("message.created", ada, seq=1)])
    raw, frames = await come(edge, ada)
    assert [frame["type"] for frame in frames] == ["system.welcome", "system.caught_up"]
    welcome, caught_up = frames
    assert (welcome["data"]["resumed"], welcome["data"]["reason"]) == (False, "no_cursor")
    [first] = await cursors(publisher, ada)
    assert welcome["cursor"] == caught_up["cursor"] == first
    await service.publish([realtime("message.created", ada, seq=2)])
    seen = (await raw.json())["cursor"]
    await leave(raw)

    missed: list[RealtimeEvent] = [
        realtime("message.created", ada, seq=3),
        realtime("conversation.updated", ada, OTHER, version=3),
        realtime("read.receipt", ada, userId="bob", lastReadSeq=2, at="2026-01-02T03:04:05.678Z"),
        realtime("block.created", ada, None, userId="eve", version=4),
        realtime("message.updated", ada, seq=2),
        realtime("message.created", ada, seq=4),
    ]
    await service.publish(missed)
    raw, frames = await come(other_edge, ada, seen)
    welcome, *replayed, caught_up = frames
    assert welcome["data"]["resumed"] is True
    assert "reason" not in welcome["data"]
    assert [frame["eventId"] for frame in replayed] == [str(event.event_id) for event in missed]
    assert [frame["cursor"] for frame in replayed] == (await cursors(publisher, ada))[2:]
    assert caught_up["cursor"] == replayed[-1]["cursor"]
    assert [frame["data"]["message"]["text"] for frame in replayed if "message" in frame["data"]] == [
        "m3",
        "m2",
        "m4",
    ]
    assert replayed[1]["data"]["conversation"]["id"] == OTHER
    assert replayed[2]["data"]["lastReadSeq"] == 2
    assert replayed[3]["data"] == {"userId": "eve", "version": 4}
    await service.publish([realtime("message.created", ada, seq=5)])
    assert (await raw.json())["data"]["message"]["text"] == "as it was published"
    await leave(raw)

    raw, frames = await come(edge, ada, (await cursors(publisher, ada))[-1])
    assert [frame["type"] for frame in frames] == ["system.welcome", "system.caught_up"]
    assert frames[0]["data"]["resumed"] is True
    assert frames[1]["cursor"] == (await cursors(publisher, ada))[-1]


async def test_what_may_not_be_read_any_more_is_left_out(
    edge: Edge, other_edge: Edge, service: RealtimePublisher
) -> None:
    show_conversation(edge)
    working = edge.services.answers["GetMemberViews"]

    def hides_other(request: Any, user: Any) -> Any:
        shown = working(request, user)
        return message_rpc.GetMemberViewsResponse(
            views=[view for view in shown.views if view.conversation_id != OTHER], unread=shown.unread
        )

    edge.services.answers["GetMemberViews"] = hides_other
    ada = somebody()
    edge.services.keep(stored_message(31))
    await service.publish([realtime("message.created", ada, seq=31)])
    raw, [_, caught_up] = await come(edge, ada)
    await leave(raw)
    long_ago = realtime("conversation.updated", ada, OTHER)
    long_ago.occurred_at -= timedelta(minutes=5)
    await service.publish(
        [
            realtime("message.created", ada, OTHER, seq=32),
            long_ago,
            realtime("message.created", ada, seq=31),
        ]
    )
    _, [welcome, only, end] = await come(other_edge, ada, caught_up["cursor"])
    assert welcome["data"]["resumed"] is True
    assert only["data"]["message"]["seq"] == 31
    assert end["cursor"] == only["cursor"]
    edge.services.answers["GetMemberViews"] = working


async def test_garbage_in_a_stream_does_not_stop_a_replay(
    edge: Edge, other_edge: Edge, service: RealtimePublisher, publisher: redis.Redis
) -> None:
    ada = somebody()
    edge.services.keep(stored_message(2))
    await service.publish([realtime("message.created", ada, seq=1)])
    raw, [_, caught_up] = await come(edge, ada)
    await leave(raw)
    for rubbish in ({"x": "y"}, {"type": b"\xff"}, {"type": "message.created", "eventId": "e", "refs": "{"}):
        await publisher.xadd(stream_key(ada), rubbish)  # type: ignore[arg-type]
    await service.publish([realtime("message.created", ada, seq=2)])
    _, [_, only, _] = await come(other_edge, ada, caught_up["cursor"])
    assert only["data"]["message"]["seq"] == 2


async def test_something_else_in_a_streams_place_keeps_nobody_out(edge: Edge, publisher: redis.Redis) -> None:
    ada = somebody()
    await publisher.set(stream_key(ada), "not a stream")
    for cursor, reason in ((None, "no_cursor"), ("17-0", "cursor_unknown")):
        raw, [welcome, caught_up] = await come(edge, ada, cursor)
        assert (welcome["data"]["resumed"], welcome["data"]["reason"]) == (False, reason)
        assert "cursor" not in caught_up
        await leave(raw)


async def test_a_stream_that_cannot_be_read_keeps_out_before_the_upgrade(
    keys: Keys, redis_url: str, issuer: Issuer, service: RealtimePublisher, publisher: redis.Redis
) -> None:
    user, ada = somebody(), somebody()
    rules = ["on", ">secret", "~*", "&*", "+@all", "-xrange", "-xrevrange"]
    await publisher.execute_command("ACL", "SETUSER", user, *rules)  # type: ignore[no-untyped-call]
    where = urlsplit(redis_url)
    url = urlunsplit(where._replace(netloc=f"{user}:secret@{where.netloc.rpartition('@')[2]}"))
    try:
        async with run_edge(keys, url, issuer) as edge:
            await service.publish([realtime("message.created", ada, seq=1)])
            for query in ("", "cursor=17-0"):
                refused = await connect(edge, ada, query=query)
                assert refused.status == 503
                contract.check_problem(orjson.loads(refused.body))
                assert int(refused.headers["retry-after"]) >= 1
    finally:
        await publisher.execute_command("ACL", "DELUSER", user)  # type: ignore[no-untyped-call]


async def test_a_resumed_welcome_has_what_changed_since_a_minute_before_the_cursor(
    keys: Keys, redis_url: str, issuer: Issuer, service: RealtimePublisher
) -> None:
    asked: list[message_rpc.GetWatchListRequest] = []
    more = False

    def watched(request: Any, _user: Any) -> message_rpc.GetWatchListResponse:
        asked.append(request)
        item = message_rpc.WatchItem(
            conversation_id=WHERE,
            state=message_pb.CONVERSATION_STATE_ACTIVE,
            version=1,
            last_seq=5,
            change_seq=6,
            changed_at=Timestamp(seconds=1_767_323_045),
        )
        next_page = message_rpc.WatchPosition(changed_at=item.changed_at, conversation_id=WHERE)
        return message_rpc.GetWatchListResponse(items=[item], next=next_page if more else None)

    async with run_edge(keys, redis_url, issuer) as edge:
        edge.services.answers["GetWatchList"] = watched
        ada = somebody()
        before = datetime.now(UTC)
        await service.publish([realtime("message.created", ada, seq=1)])
        raw, [_, caught_up] = await come(edge, ada)
        await leave(raw)
        raw, [welcome, _] = await come(edge, ada, caught_up["cursor"])
        await leave(raw)
        assert [each["conversationId"] for each in welcome["data"]["watchList"]] == [WHERE]
        since = asked[-1].changed_after.ToDatetime(UTC)
        published = timedelta(milliseconds=int(caught_up["cursor"].partition("-")[0]))
        assert since == datetime(1970, 1, 1, tzinfo=UTC) + published - timedelta(seconds=60)
        assert abs(since - before) < timedelta(seconds=120)
        assert not asked[0].HasField("changed_after")

        more = True  # than fits: what is not listed could be what Redis lost
        _, [welcome, _] = await come(edge, ada, caught_up["cursor"])
        assert (welcome["data"]["resumed"], welcome["data"]["reason"]) == (False, "too_far_behind")
