"""A socket that comes back gets exactly what it missed, as it stands now; or is told to start over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import orjson
import pytest
import pytest_asyncio
import redis.asyncio as redis
from google.protobuf.timestamp_pb2 import Timestamp
from splits.chat.message.v1 import message_pb2 as message_pb
from splits.chat.message.v1 import service_pb2 as message_rpc

from edge_gateway.sockets.streams import MAX_REPLAYED
from servicekit.errors import ChatError, Reason
from servicekit.outbox.events import RealtimeEvent
from servicekit.realtime import RealtimePublisher, stream_key
from tests.support import contract
from tests.support.edge import Edge, run_edge
from tests.support.issuer import Issuer
from tests.support.keys import Keys
from tests.support.rawsocket import RawSocket
from tests.support.sockets import (
    OTHER,
    WHERE,
    connect,
    realtime,
    show_conversation,
    somebody,
    stored_message,
)

Json = dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def service(redis_url: str) -> AsyncIterator[RealtimePublisher]:
    publisher = RealtimePublisher(redis_url)
    yield publisher
    await publisher.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def edge(keys: Keys, redis_url: str, issuer: Issuer) -> AsyncIterator[Edge]:
    """One of the module's own: what its services show stays."""
    async with run_edge(keys, redis_url, issuer) as running:
        yield running


async def told(raw: RawSocket) -> list[Json]:
    """Everything up to `system.caught_up`, each frame as the contract has it."""
    frames: list[Json] = []
    while not frames or frames[-1]["type"] != "system.caught_up":
        frames.append(await raw.json())
        contract.check_frame(frames[-1])
    return frames


async def come(edge: Edge, user: str, cursor: str | None = None) -> tuple[RawSocket, list[Json]]:
    raw = await connect(edge, user, query="" if cursor is None else f"cursor={cursor}")
    assert raw.status == 101
    return raw, await told(raw)


async def leave(raw: RawSocket) -> None:
    raw.abort()


async def cursors(publisher: redis.Redis, user: str) -> list[str]:
    return [at.decode() for at, _ in await publisher.xrange(stream_key(user))]  # type: ignore[union-attr]


def redacted(message: message_pb.Message) -> message_pb.Message:
    gone = message_pb.Message()
    gone.CopyFrom(message)
    gone.text, gone.redacted_by, gone.change_seq = "", "ada", message.change_seq + 1
    gone.redacted_at.CopyFrom(Timestamp(seconds=1_767_323_050))
    return gone


async def test_what_was_missed_follows_in_order_and_then_it_is_live(
    edge: Edge, service: RealtimePublisher, publisher: redis.Redis
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
    raw, frames = await come(edge, ada, seen)
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


async def test_a_body_that_was_redacted_meanwhile_is_nowhere_in_a_replay(
    edge: Edge, service: RealtimePublisher
) -> None:
    ada = somebody()
    await service.publish([realtime("message.created", ada, seq=1)])
    raw, [_, caught_up] = await come(edge, ada)
    await leave(raw)
    await service.publish([realtime("message.created", ada, seq=8), realtime("message.updated", ada, seq=8)])
    edge.services.keep(redacted(stored_message(8, "secret")))
    _, [_, created, updated, _] = await come(edge, ada, caught_up["cursor"])
    for frame in (created, updated):
        message = frame["data"]["message"]
        assert (message["text"], message["redactedBy"], message["changeSeq"]) == ("", "ada", 9)


async def test_what_may_not_be_read_any_more_is_left_out(edge: Edge, service: RealtimePublisher) -> None:
    show_conversation(edge)
    working = edge.services.answers["GetMemberViews"]

    def hides_other(request: Any, user: Any) -> Any:
        shown = working(request, user)
        return message_rpc.GetMemberViewsResponse(
            views=[view for view in shown.views if view.conversation_id != OTHER]
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
    _, [welcome, only, end] = await come(edge, ada, caught_up["cursor"])
    assert welcome["data"]["resumed"] is True
    assert only["data"]["message"]["seq"] == 31
    assert end["cursor"] == only["cursor"]
    edge.services.answers["GetMemberViews"] = working


@pytest.mark.parametrize("fate", ["flushed", "trimmed", "its own entry is gone", "another Redis"])
async def test_a_cursor_whose_entry_is_gone_starts_over(
    edge: Edge, service: RealtimePublisher, publisher: redis.Redis, fate: str
) -> None:
    ada = somebody()
    for seq in (1, 2, 3):
        await service.publish([realtime("message.created", ada, seq=seq)])
    first, second, last = await cursors(publisher, ada)
    if fate == "flushed":
        await publisher.delete(stream_key(ada))
    elif fate == "trimmed":
        await publisher.xtrim(stream_key(ada), minid=last, approximate=False)
    elif fate == "its own entry is gone":
        await publisher.xdel(stream_key(ada), second)
    else:
        await publisher.delete(stream_key(ada))
        await service.publish([realtime("message.created", ada, seq=4)])
    _, [welcome, caught_up] = await come(edge, ada, second)
    assert (welcome["data"]["resumed"], welcome["data"]["reason"]) == (False, "cursor_unknown")
    now = await cursors(publisher, ada)
    expected = now[-1] if now else None
    assert (welcome.get("cursor"), caught_up.get("cursor")) == (expected, expected)
    assert first


@pytest.mark.parametrize(
    "cursor",
    [
        *("x", "17", "17-", "-0", "017-0", "17-00", "0-0", "-", "%2B", "$", "17-0%00", "(17-0", "9" * 400),
        *("99999999999999-0", "99999999999999999999-0", "18446744073709551616-0", "%F0%9F%98%80", "17-0%0A"),
    ],
)
async def test_what_is_no_cursor_starts_over(edge: Edge, service: RealtimePublisher, cursor: str) -> None:
    ada = somebody()
    await service.publish([realtime("message.created", ada, seq=1)])
    _, [welcome, _] = await come(edge, ada, cursor)
    assert (welcome["data"]["resumed"], welcome["data"]["reason"]) == (False, "cursor_unknown")


async def test_anothers_cursor_is_none_of_ones_own(edge: Edge, service: RealtimePublisher) -> None:
    ada, bob = somebody(), somebody()
    await service.publish([realtime("message.created", ada, seq=1)])
    await asyncio.sleep(0.002)  # an id is a millisecond: theirs must not be the same by chance
    await service.publish([realtime("message.created", bob, seq=1)])
    raw, [_, caught_up] = await come(edge, ada)
    await leave(raw)
    _, [welcome, end] = await come(edge, bob, caught_up["cursor"])
    assert (welcome["data"]["resumed"], welcome["data"]["reason"]) == (False, "cursor_unknown")
    assert end["cursor"] != caught_up["cursor"]


async def test_garbage_in_a_stream_does_not_stop_a_replay(
    edge: Edge, service: RealtimePublisher, publisher: redis.Redis
) -> None:
    ada = somebody()
    edge.services.keep(stored_message(2))
    await service.publish([realtime("message.created", ada, seq=1)])
    raw, [_, caught_up] = await come(edge, ada)
    await leave(raw)
    for rubbish in ({"x": "y"}, {"type": b"\xff"}, {"type": "message.created", "eventId": "e", "refs": "{"}):
        await publisher.xadd(stream_key(ada), rubbish)  # type: ignore[arg-type]
    await service.publish([realtime("message.created", ada, seq=2)])
    _, [_, only, _] = await come(edge, ada, caught_up["cursor"])
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


async def test_more_than_is_replayed_starts_over(
    edge: Edge, service: RealtimePublisher, publisher: redis.Redis
) -> None:
    ada = somebody()
    await service.publish([realtime("message.created", ada, seq=1)])
    [cursor] = await cursors(publisher, ada)
    fields = {"type": "block.created", "eventId": "e", "at": "2026-01-02T03:04:05.678Z", "refs": "{}"}
    async with publisher.pipeline(transaction=False) as pipe:
        for _ in range(MAX_REPLAYED + 201):
            pipe.xadd(stream_key(ada), fields)  # type: ignore[arg-type]
        await pipe.execute()
    _, [welcome, _] = await come(edge, ada, cursor)
    assert (welcome["data"]["resumed"], welcome["data"]["reason"]) == (False, "too_far_behind")


async def test_a_long_replay_goes_at_the_readers_pace(
    keys: Keys, redis_url: str, issuer: Issuer, service: RealtimePublisher
) -> None:
    async with run_edge(keys, redis_url, issuer, ws_max_buffer_bytes=100 * 1024) as edge:
        ada = somebody()
        await service.publish([realtime("message.created", ada, seq=1)])
        raw, [_, caught_up] = await come(edge, ada)
        await leave(raw)
        count = 200  # of 32 KB: far more than the kernel and the edge let wait for one reader
        edge.services.keep(*(stored_message(seq, "\U0001f600" * 8000) for seq in range(1, count + 1)))
        await service.publish([realtime("message.created", ada, seq=seq) for seq in range(1, count + 1)])
        raw = await connect(edge, ada, query=f"cursor={caught_up['cursor']}", receive_buffer=4096)
        first = await raw.json()
        assert first["data"]["resumed"] is True
        frames = await told(raw)
        assert [frame["data"]["message"]["seq"] for frame in frames[:-1]] == list(range(1, count + 1))


@asynccontextmanager
async def opening(edge: Edge) -> AsyncIterator[tuple[asyncio.Event, asyncio.Event]]:
    """Welcomes wait: the first event says that one does, the second lets them go on."""
    reading, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(_request: Any, _user: Any) -> message_rpc.GetUnreadResponse:
        reading.set()
        await go_on.wait()
        return message_rpc.GetUnreadResponse()

    edge.services.answers["GetUnread"] = slowly
    yield reading, go_on


@pytest.mark.parametrize("resumed", [True, False])
async def test_what_comes_during_the_handshake_is_told_once_as_it_stands_before_the_rest(
    keys: Keys, redis_url: str, issuer: Issuer, service: RealtimePublisher, resumed: bool
) -> None:
    async with run_edge(keys, redis_url, issuer) as edge:
        ada = somebody()
        await service.publish([realtime("message.created", ada, seq=1)])
        raw, [_, caught_up] = await come(edge, ada)
        await leave(raw)
        if resumed:
            await service.publish([realtime("message.created", ada, seq=2)])
        edge.services.keep(*(stored_message(seq, f"m{seq}") for seq in (2, 3)))
        async with opening(edge) as (reading, go_on):
            query = f"cursor={caught_up['cursor']}" if resumed else ""
            coming = asyncio.create_task(connect(edge, ada, query=query))
            await reading.wait()
            await service.publish([realtime("message.created", ada, seq=3)])
            held = realtime("message.created", ada, seq=4)
            await service.publish([held, held])  # at least once: its event is known by its id
            edge.services.keep(redacted(stored_message(4, "secret")))
            go_on.set()
            frames = await told(await coming)
        texts = [frame["data"]["message"]["text"] for frame in frames[1:-1]]
        assert texts == [*(["m2"] if resumed else []), "m3", ""]
        assert frames[-1]["cursor"] == frames[-2]["cursor"]
        assert edge.count("edge_resumes_total", outcome="resumed" if resumed else "no_cursor") >= 1


async def test_an_event_in_the_stream_and_on_the_channel_is_told_once(
    keys: Keys, redis_url: str, issuer: Issuer, service: RealtimePublisher
) -> None:
    async with run_edge(keys, redis_url, issuer) as edge:
        ada = somebody()
        await service.publish([realtime("message.created", ada, seq=1)])
        raw, [_, caught_up] = await come(edge, ada)
        await leave(raw)
        profile = edge.services.answers["SyncProfile"]
        reading, go_on = asyncio.Event(), asyncio.Event()

        async def slowly(request: Any, user: Any) -> Any:
            reading.set()
            await go_on.wait()
            return profile(request, user)

        # Between the subscription and the read of the stream.
        edge.services.answers["SyncProfile"] = slowly
        edge.services.keep(stored_message(2), stored_message(3))
        token = edge.issuer.token(ada, name="Renamed")
        coming = asyncio.create_task(connect(edge, ada, token=token, query=f"cursor={caught_up['cursor']}"))
        await reading.wait()
        await service.publish([realtime("message.created", ada, seq=seq) for seq in (2, 3)])
        go_on.set()
        frames = await told(await coming)
        assert [frame["data"]["message"]["seq"] for frame in frames[1:-1]] == [2, 3]


async def test_a_message_behind_one_that_is_joined_is_told_as_it_stands_then(
    keys: Keys, redis_url: str, issuer: Issuer, service: RealtimePublisher
) -> None:
    async with run_edge(keys, redis_url, issuer) as edge:
        gate = asyncio.Event()
        asked = show_conversation(edge, gate=gate)
        ada = somebody()
        raw, _ = await come(edge, ada)
        await service.publish([realtime("conversation.updated", ada)])
        while not asked:
            await asyncio.sleep(0.01)
        await service.publish([realtime("message.created", ada, seq=2)])
        # Another device comes meanwhile: what it was welcomed after is not told to it again.
        other, frames = await come(edge, ada)
        assert [frame["type"] for frame in frames] == ["system.welcome", "system.caught_up"]
        edge.services.keep(redacted(stored_message(2, "secret")), stored_message(3))
        gate.set()
        assert (await raw.json())["type"] == "conversation.updated"
        assert (await raw.json())["data"]["message"]["text"] == ""
        await service.publish([realtime("message.created", ada, seq=3)])
        for each in (raw, other):
            assert (await each.json())["data"]["message"]["seq"] == 3


async def test_a_replay_waits_for_a_service_that_is_away_and_gives_up_in_the_end(
    keys: Keys, redis_url: str, issuer: Issuer, service: RealtimePublisher
) -> None:
    async with run_edge(keys, redis_url, issuer, event_patience_ms=1000) as edge:
        ada = somebody()
        await service.publish([realtime("message.created", ada, seq=1)])
        raw, [_, caught_up] = await come(edge, ada)
        await leave(raw)
        await service.publish([realtime("message.created", ada, seq=2)])
        edge.services.keep(stored_message(2))
        working, failures = edge.services.answers["GetMessages"], iter(range(2))

        def fails_twice(request: Any, user: Any) -> Any:
            if next(failures, None) is not None:
                raise ChatError(Reason.INTERNAL, "a fault")
            return working(request, user)

        edge.services.answers["GetMessages"] = fails_twice
        raw, [_, only, _] = await come(edge, ada, caught_up["cursor"])
        assert only["data"]["message"]["seq"] == 2
        await leave(raw)

        def fails(_request: Any, _user: Any) -> Any:
            raise ChatError(Reason.INTERNAL, "a fault")

        edge.services.answers["GetMessages"] = fails
        raw = await connect(edge, ada, query=f"cursor={caught_up['cursor']}")
        assert (await raw.json())["data"]["resumed"] is True
        assert await raw.close_code() == 1012


async def test_a_socket_that_goes_in_the_middle_of_its_replay_leaves_nothing_behind(
    keys: Keys, redis_url: str, issuer: Issuer, service: RealtimePublisher
) -> None:
    async with run_edge(keys, redis_url, issuer) as edge:
        ada = somebody()
        await service.publish([realtime("message.created", ada, seq=1)])
        raw, [_, caught_up] = await come(edge, ada)
        await leave(raw)
        await service.publish([realtime("message.created", ada, seq=2)])
        asked = asyncio.Event()

        async def stuck(_request: Any, _user: Any) -> Any:
            asked.set()
            await asyncio.Event().wait()

        edge.services.answers["GetMessages"] = stuck
        raw = await connect(edge, ada, query=f"cursor={caught_up['cursor']}")
        await asked.wait()
        await leave(raw)
        while edge.count("edge_sockets_open"):
            await asyncio.sleep(0.01)
        names = [task.get_coro().__qualname__ for task in asyncio.all_tasks()]  # type: ignore[union-attr]
        assert "Session._catch_up" not in names
