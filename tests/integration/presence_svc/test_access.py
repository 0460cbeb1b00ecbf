"""Revocations and bans: what is recorded, in which order it is read, who is told, when it is forgotten."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
import redis.asyncio as redis
from google.protobuf.timestamp_pb2 import Timestamp
from splits.chat.presence.v1 import service_pb2 as rpc

from presence_svc import store
from presence_svc.actions.forget_access_changes import forget_access_changes
from presence_svc.actions.list_access_changes import PAGE
from presence_svc.domain import SessionOver
from servicekit.control import CHANNEL, Kind, News, decode
from servicekit.errors import ChatError, Reason
from tests.support.backing import MakeDatabase
from tests.support.presence_svc import PresenceService, run_presence_service
from tests.support.waiting import eventually

NOWHERE = "127.0.0.1:1"
WRITERS, CHANGES_EACH = 20, 10


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def service(
    make_database: MakeDatabase, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[PresenceService]:
    keys: Path = tmp_path_factory.mktemp("keys")
    async with run_presence_service(make_database, redis_url, keys, NOWHERE) as running:
        yield running


def somebody() -> str:
    return f"user-{uuid.uuid4().hex[:12]}"


async def tell(service: PresenceService, method: str, request: object) -> None:
    await service.call(method, request, by="ats_sync")


async def revoke(service: PresenceService, user_id: str, sid: str = "") -> None:
    await tell(service, "RevokeSessions", rpc.RevokeSessionsRequest(user_id=user_id, sid=sid))


async def ban(service: PresenceService, user_id: str, until: Timestamp | None = None) -> None:
    await tell(service, "BanUser", rpc.BanUserRequest(user_id=user_id, until=until))


async def lift(service: PresenceService, user_id: str) -> None:
    await tell(service, "LiftBan", rpc.LiftBanRequest(user_id=user_id))


async def page(service: PresenceService, after: int = 0) -> rpc.ListAccessChangesResponse:
    request = rpc.ListAccessChangesRequest(after_version=after)
    response: rpc.ListAccessChangesResponse = await service.call("ListAccessChanges", request)
    return response


async def version(service: PresenceService) -> int:
    return int(await service.pool.fetchval("SELECT version FROM access_version"))


async def said_of(service: PresenceService, user_id: str, after: int) -> list[str]:
    """Kinds of changes about somebody, in order."""
    found = [each for each in (await page(service, after)).changes if each.user_id == user_id]
    return [each.WhichOneof("change") or "" for each in found]


async def test_what_is_said_is_read_in_order_and_a_later_word_takes_the_place_of_an_earlier_one(
    service: PresenceService,
) -> None:
    ada, before = somebody(), await version(service)
    until = Timestamp(seconds=2_000_000_000, nanos=5_000)
    began = datetime.now(UTC).replace(microsecond=0)
    await ban(service, ada)
    await revoke(service, ada)
    await revoke(service, ada, "s1")
    await revoke(service, ada, "s2")
    await ban(service, ada, until)
    read = await page(service, before)
    assert (read.version, read.has_more) == (before + 5, False)
    tokens, first, second, banned = [each for each in read.changes if each.user_id == ada]
    assert began <= tokens.tokens_until.ToDatetime(tzinfo=UTC) <= datetime.now(UTC)
    assert tokens.tokens_until.nanos == 0
    assert (first.sid, second.sid) == ("s1", "s2")
    assert banned.ban.until == until
    await lift(service, ada)
    assert await said_of(service, ada, read.version) == ["ban_lifted"]
    assert await said_of(service, ada, before) == ["tokens_until", "sid", "sid", "ban_lifted"]


async def test_who_knows_all_is_told_nothing_and_who_knows_more_sees_that_the_version_went_back(
    service: PresenceService,
) -> None:
    await ban(service, somebody())
    newest = await version(service)
    for after in (newest, newest + 7, 2**64 - 1):
        read = await page(service, after)
        assert (list(read.changes), read.version, read.has_more) == ([], newest, False)


async def test_the_same_again_is_no_new_version_and_tells_the_edges_all_the_same(
    service: PresenceService, redis_url: str
) -> None:
    ada, until = somebody(), Timestamp(seconds=2_000_000_000)
    async with redis.Redis.from_url(redis_url) as client, client.pubsub() as listener:
        await listener.subscribe(CHANNEL)
        assert await listener.get_message(timeout=10)  # the confirmation

        async def heard() -> News:
            while True:
                told = await listener.get_message(timeout=10)
                assert told is not None, "nobody said anything"
                if ada.encode() in told["data"]:
                    return decode(told["data"])

        calls = [
            partial(revoke, service, ada, "s1"),
            partial(ban, service, ada, until),
            partial(lift, service, ada),
        ]
        for call in calls:
            await call()
            at = await version(service)
            await call()
            assert await version(service) == at
            assert [await heard(), await heard()] == [News(Kind.ACCESS, (ada,))] * 2


async def test_to_lift_a_ban_that_never_was_is_nothing(service: PresenceService) -> None:
    before = await version(service)
    await lift(service, somebody())
    assert await version(service) == before


async def test_a_reader_sees_every_change_of_many_writers_once_and_in_order(service: PresenceService) -> None:
    people, start = [somebody() for _ in range(WRITERS)], await version(service)
    seen: list[tuple[str, str]] = []
    at = start
    done = asyncio.Event()

    async def read() -> None:
        nonlocal at
        last = False
        while not last:
            last = done.is_set()  # before the read: that one sees all
            found = await page(service, at)
            assert found.version == at + len(found.changes)
            seen.extend((each.user_id, each.sid) for each in found.changes)
            at = found.version

    async def write(user_id: str) -> None:
        for number in range(CHANGES_EACH):
            await revoke(service, user_id, str(number))

    async def write_all() -> None:
        await asyncio.gather(*map(write, people))
        done.set()

    await asyncio.gather(write_all(), read())
    assert len(seen) == WRITERS * CHANGES_EACH
    for person in people:
        assert [sid for user_id, sid in seen if user_id == person] == list(map(str, range(CHANGES_EACH)))


async def test_many_changes_are_read_page_by_page(service: PresenceService) -> None:
    ada, before, now = somebody(), await version(service), datetime.now(UTC)
    async with service.pool.acquire() as conn, conn.transaction():
        for number in range(PAGE + 1):
            await store.put_access_change(conn, ada, SessionOver(f"s{number}"), now)
    first = await page(service, before)
    assert (len(first.changes), first.version, first.has_more) == (PAGE, before + PAGE, True)
    rest = await page(service, first.version)
    assert (len(rest.changes), rest.version, rest.has_more) == (1, before + PAGE + 1, False)
    sids = [each.sid for each in itertools.chain(first.changes, rest.changes)]
    assert sids == [f"s{number}" for number in range(PAGE + 1)]


async def test_what_holds_nobody_back_any_more_is_forgotten_and_a_ban_that_stands_is_not(
    service: PresenceService,
) -> None:
    now, keep = datetime.now(UTC), service.app.deps.access_keep
    old, fresh = now - keep - timedelta(seconds=1), now - keep + timedelta(seconds=60)
    kinds: dict[str, tuple[str, Timestamp | None, datetime]] = {}
    for name, until, at in (
        ("stands", None, old),
        ("stands for a while", _stamp(now + keep), old),
        ("over not long ago", _stamp(fresh), old),
        ("over long ago", _stamp(old), old),
        ("lifted", None, old),
        ("lifted not long ago", None, fresh),
    ):
        kinds[somebody()] = (name, until, at)
    for ada, (name, until, at) in kinds.items():
        await ban(service, ada, until)
        if name.startswith("lifted"):
            await lift(service, ada)
        await service.pool.execute("UPDATE access_changes SET changed_at = $2 WHERE user_id = $1", ada, at)
    bob = somebody()
    await revoke(service, bob)
    await revoke(service, bob, "old")
    await service.pool.execute("UPDATE access_changes SET changed_at = $2 WHERE user_id = $1", bob, old)
    await revoke(service, bob, "fresh")
    newest = await version(service)
    assert await forget_access_changes(service.app.deps) == 4
    rows = await service.pool.fetch(
        "SELECT user_id, sid FROM access_changes WHERE user_id = ANY ($1::text[])", [*kinds, bob]
    )
    kept = {row["sid"] if row["user_id"] == bob else kinds[row["user_id"]][0] for row in rows}
    assert kept == {"stands", "stands for a while", "over not long ago", "lifted not long ago", "fresh"}
    assert (await page(service, newest)).version == newest


async def age(service: PresenceService, user_id: str) -> None:
    """What was said of them was said longer ago than it is kept."""
    long_ago = datetime.now(UTC) - service.app.deps.access_keep - timedelta(days=1)
    await service.pool.execute(
        "UPDATE access_changes SET changed_at = $2 WHERE user_id = $1", user_id, long_ago
    )


async def waits_for_a_lock(service: PresenceService) -> bool:
    found = await service.pool.fetchval(
        "SELECT EXISTS (SELECT FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock')"
    )
    return bool(found)


async def test_what_is_said_again_is_kept_as_long_as_if_it_were_said_for_the_first_time(
    service: PresenceService,
) -> None:
    ada, before = somebody(), await version(service)
    until = Timestamp(seconds=1_000_000_000)
    calls = [
        partial(revoke, service, ada),
        partial(revoke, service, ada, "s1"),
        partial(ban, service, ada, until),
    ]
    for call in calls:
        await call()
    await age(service, ada)
    for call in calls:
        await call()
    assert await forget_access_changes(service.app.deps) == 0
    assert sorted(await said_of(service, ada, before)) == ["ban", "sid", "tokens_until"]
    await age(service, ada)
    assert await forget_access_changes(service.app.deps) == 3


async def test_what_is_said_again_while_it_is_being_forgotten_holds(service: PresenceService) -> None:
    ada, before = somebody(), await version(service)
    await revoke(service, ada, "s1")
    await age(service, ada)
    async with service.pool.acquire() as conn, conn.transaction():
        now = service.app.deps.clock.now()
        assert await store.forget_access_changes(conn, now - service.app.deps.access_keep, 10) == 1
        saying = asyncio.create_task(revoke(service, ada, "s1"))

        async def met() -> bool:
            return saying.done() or await waits_for_a_lock(service)

        await eventually(met)
    await saying
    assert await said_of(service, ada, before) == ["sid"]


async def test_what_was_said_again_is_not_forgotten_by_who_looked_before(service: PresenceService) -> None:
    ada, before = somebody(), await version(service)
    await revoke(service, ada, "s1")
    await age(service, ada)
    async with service.pool.acquire() as conn, conn.transaction():
        await store.lock_access(conn)
        await store.renew_access_change(conn, ada, SessionOver("s1"), service.app.deps.clock.now())
        forgetting = asyncio.create_task(forget_access_changes(service.app.deps))

        async def met() -> bool:
            return forgetting.done() or await waits_for_a_lock(service)

        await eventually(met)
    assert await forgetting == 0
    assert await said_of(service, ada, before) == ["sid"]


@pytest.mark.parametrize(
    ("method", "request_", "pointer"),
    [
        ("RevokeSessions", rpc.RevokeSessionsRequest(user_id="a\0"), "/userId"),
        ("RevokeSessions", rpc.RevokeSessionsRequest(user_id="a", sid="\0"), "/sid"),
        ("LiftBan", rpc.LiftBanRequest(user_id="\0"), "/userId"),
        ("BanUser", rpc.BanUserRequest(user_id="a\0"), "/userId"),
        ("BanUser", rpc.BanUserRequest(user_id="a", until=Timestamp(seconds=10**15)), "/until"),
    ],
)
async def test_what_cannot_be_kept_is_refused(
    service: PresenceService, method: str, request_: object, pointer: str
) -> None:
    with pytest.raises(ChatError) as refused:
        await tell(service, method, request_)
    assert refused.value.reason is Reason.VALIDATION_FAILED
    assert refused.value.violations[0].pointer == pointer


def _stamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
