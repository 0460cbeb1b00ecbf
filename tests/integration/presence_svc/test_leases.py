"""Leases on a real Redis: told once, whoever sweeps, and mended after whatever Redis lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from unittest.mock import patch

import asyncpg
import orjson
import pytest
import redis.asyncio as redis
from opentelemetry.sdk.trace import ReadableSpan
from splits.chat.presence.v1 import service_pb2 as rpc

from deploy.local.redis import Redis as RedisServer
from presence_svc.actions.sweep_leases import sweep_leases
from presence_svc.domain import Status
from presence_svc.store import States, Write
from presence_svc.store.states import SHARDS
from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser
from servicekit.realtime import presence_channel
from tests.integration.presence_svc.conftest import TTL_S
from tests.support.backing import MakeDatabase
from tests.support.conversation_svc import ConversationService, new_person
from tests.support.message_svc import TIMEOUT
from tests.support.presence_svc import Heard, PresenceService, listening, run_presence_service
from tests.support.proxy import proxy_to
from tests.support.races import at_last
from tests.support.waiting import eventually

Replicas = tuple[PresenceService, PresenceService]
SLACK_S = 5.0
"""How much later than the lease's end everybody knows, at most."""


async def statuses(heard: Heard) -> list[str]:
    """What was told until now."""
    return [orjson.loads(each)["data"]["status"] for each in await heard.rest()]


async def own(service: PresenceService, person: ActingUser) -> rpc.Presence:
    """As they see themself."""
    [seen] = await service.presence(person, person)
    return seen


async def due(client: redis.Redis, person: ActingUser) -> float:
    """When time alone changes somebody's state (milliseconds)."""
    scores = [await client.zscore(f"presence:due:{{{shard}}}", person.user_id) for shard in range(SHARDS)]
    [score] = [each for each in scores if each is not None]
    return float(score)


async def test_what_is_told_is_a_finished_frame(service: PresenceService, redis_client: redis.Redis) -> None:
    ada = new_person()
    async with listening(redis_client, presence_channel(ada.user_id)) as heard:
        await service.report((ada, "phone", "away"))
        frame = orjson.loads(await heard.take())
    assert frame.keys() == {"type", "eventId", "eventVersion", "occurredAt", "data"}
    assert frame["type"] == "presence.updated"
    assert frame["data"] == {"userId": ada.user_id, "status": "away", "lastSeenAt": frame["occurredAt"]}


async def test_only_changes_are_told(service: PresenceService, redis_client: redis.Redis) -> None:
    ada, bob = new_person(), new_person()
    async with listening(redis_client, presence_channel(ada.user_id)) as heard:
        for _ in range(3):
            await service.report((ada, "phone", "online"), (bob, "phone", "online"), (ada, "desk", "away"))
        await service.report((ada, "phone", "offline"), (ada, "phone", "offline"))
        await service.report((ada, "desk", "online"), (ada, "desk", "away"))
        await service.report((ada, "desk", "offline"), (ada, "nobody knows it", "offline"))
        assert await statuses(heard) == ["online", "away", "offline"]


async def test_of_somebody_who_flaps_few_changes_are_told_and_in_the_end_the_last(
    make_database: MakeDatabase,
    redis_server: RedisServer,
    key_folder: Path,
    conversations: ConversationService,
    redis_client: redis.Redis,
) -> None:
    ada, settle_s = new_person(), 0.5
    async with (
        run_presence_service(
            make_database,
            redis_server.url,
            key_folder,
            conversations.target,
            presence_settle_seconds=settle_s,
            presence_sweep_seconds=0.05,
        ) as settling,
        listening(redis_client, presence_channel(ada.user_id)) as heard,
    ):
        began = time.monotonic()
        for number in range(40):
            await settling.report((ada, "phone", "away" if number % 2 else "online"))
        lasted_s = time.monotonic() - began
        for status in ("online", "away"):  # however long the others took, the last waits or changes nothing
            await settling.report((ada, "phone", status))

        async def told() -> list[str]:
            await heard.rest()
            frames = (orjson.loads(each) for each in heard.payloads if each.startswith(b'{"type"'))
            return [frame["data"]["status"] for frame in frames]

        found = await eventually(told, until=lambda found: found[-1] == "away", within=settle_s + SLACK_S)
        assert found[0] == "online"
        assert len(found) <= 3 + lasted_s / settle_s
        assert (await own(settling, ada)).status == rpc.STATUS_AWAY


async def test_who_looks_before_a_change_is_told_is_shown_what_was(
    make_database: MakeDatabase,
    redis_server: RedisServer,
    key_folder: Path,
    conversations: ConversationService,
    redis_client: redis.Redis,
) -> None:
    """Or they would take for so what is told again only once it differs from what was told."""
    ada = new_person()
    async with (
        run_presence_service(
            make_database,
            redis_server.url,
            key_folder,
            conversations.target,
            presence_settle_seconds=3600,
        ) as settling,
        listening(redis_client, presence_channel(ada.user_id)) as heard,
    ):
        await settling.report((ada, "phone", "online"))
        await settling.report((ada, "phone", "away"))
        assert (await own(settling, ada)).status == rpc.STATUS_ONLINE
        await settling.report((ada, "phone", "offline"))
        assert (await own(settling, ada)).status == rpc.STATUS_OFFLINE
        await settling.report((ada, "phone", "away"))
        assert (await own(settling, ada)).status == rpc.STATUS_AWAY
        assert await statuses(heard) == ["online", "offline", "away"]


async def test_a_silent_connection_is_told_once_to_be_gone_though_two_replicas_sweep(
    replicas: Replicas, redis_client: redis.Redis
) -> None:
    people = [new_person() for _ in range(250)]  # more than go to Redis together
    channels = [presence_channel(each.user_id) for each in people]
    async with listening(redis_client, *channels) as heard:
        await replicas[0].report(*((each, "phone", "online") for each in people))
        told: dict[str, list[str]] = {each.user_id: [] for each in people}
        for _ in range(2 * len(people)):
            frame = orjson.loads(await heard.take())
            data = frame["data"]
            told[data["userId"]].append(data["status"])
            if data["status"] == "offline":
                told_at, seen_at = map(datetime.fromisoformat, (frame["occurredAt"], data["lastSeenAt"]))
                assert TTL_S <= (told_at - seen_at).total_seconds() < TTL_S + SLACK_S
        assert await heard.rest() == []
    assert set(map(tuple, told.values())) == {("online", "offline")}


async def test_a_renewal_puts_the_end_of_the_lease_off(
    service: PresenceService, redis_client: redis.Redis
) -> None:
    ada = new_person()
    ends = []
    for _ in range(3):
        await service.report((ada, "phone", "online"))
        ends.append(await due(redis_client, ada))
    assert ends == sorted(set(ends))
    seen_ms = (await own(service, ada)).last_seen_at.ToMilliseconds()
    assert ends[-1] == seen_ms + 90_000


async def test_a_replica_that_hangs_in_the_midst_of_a_sweep_neither_loses_nor_doubles_it(
    replicas: Replicas, redis_client: redis.Redis
) -> None:
    """Between reading and writing it holds nothing: there is no lock, and its write is one step or none.

    So it is the same with one that was killed there: of what it meant to do, nothing has begun.
    """
    slow, ada = replicas[0].app.deps.states, new_person()
    both_read, released, missed = asyncio.Event(), asyncio.Event(), asyncio.Event()
    apply = States.apply

    async def apply_late(states: States, writes: Sequence[Write]) -> dict[str, bytes]:
        if any(each.user_id == ada.user_id and each.state.told is Status.OFFLINE for each in writes):
            if states is slow:
                both_read.set()
                await released.wait()
                held = await apply(states, writes)
                if ada.user_id in held:
                    missed.set()
                return held
            await both_read.wait()
        return await apply(states, writes)

    async with listening(redis_client, presence_channel(ada.user_id)) as heard:
        with patch.object(States, "apply", apply_late):
            await replicas[1].report((ada, "phone", "online"))
            told = [orjson.loads(await heard.take())["data"]["status"] for _ in range(2)]
            assert told == ["online", "offline"]
            assert not released.is_set()
            released.set()
            await asyncio.wait_for(missed.wait(), 30)
        await sweep_leases(replicas[0].app.deps)
        assert await heard.rest() == []


async def test_a_flushed_redis_knows_again_with_the_next_renewals_and_postgres_knew_meanwhile(
    service: PresenceService, redis_client: redis.Redis
) -> None:
    ada = new_person()
    await service.report((ada, "phone", "online"))
    before = await own(service, ada)

    async def kept() -> int:
        count: int = await service.pool.fetchval(
            "SELECT count(*) FROM last_seen WHERE user_id = $1", ada.user_id
        )
        return count

    await eventually(kept)
    await redis_client.flushall()
    async with listening(redis_client, presence_channel(ada.user_id)) as heard:
        lost = await own(service, ada)
        assert lost.status == rpc.STATUS_OFFLINE
        assert lost.last_seen_at.ToMilliseconds() == before.last_seen_at.ToMilliseconds()
        await service.report((ada, "phone", "online"))
        assert orjson.loads(await heard.take())["data"]["status"] == "online"
    assert (await own(service, ada)).status == rpc.STATUS_ONLINE


async def test_who_closes_after_a_flush_is_told_to_be_gone(
    service: PresenceService, redis_client: redis.Redis
) -> None:
    ada = new_person()
    await service.report((ada, "phone", "online"))
    await redis_client.flushall()
    async with listening(redis_client, presence_channel(ada.user_id)) as heard:
        await service.report((ada, "phone", "offline"))
        assert await statuses(heard) == ["offline"]


async def test_postgres_is_told_once_a_minute_and_of_the_last_moment_in_the_end(
    service: PresenceService, redis_client: redis.Redis
) -> None:
    ada = new_person()
    deps = service.app.deps
    given: list[int] = []
    add = deps.last_seen.add

    def listen(seen: dict[str, int]) -> None:
        given.extend(at for user_id, at in seen.items() if user_id == ada.user_id)
        add(seen)

    with patch.object(type(deps.last_seen), "add", lambda _, seen: listen(seen)):
        for _ in range(5):
            await service.report((ada, "phone", "online"))
        await service.report((ada, "phone", "offline"))
    assert len(given) == 1
    assert await due(redis_client, ada) == given[0] + 60_000  # when the moment of the close is kept


async def test_postgres_never_goes_back_and_being_away_loses_nothing(service: PresenceService) -> None:
    ada, seen = new_person(), service.app.deps.last_seen

    async def at() -> int | None:
        row = await service.pool.fetchval(
            "SELECT (extract(epoch FROM at) * 1000)::bigint FROM last_seen WHERE user_id = $1", ada.user_id
        )
        return None if row is None else int(row)

    seen.add({ada.user_id: 5_000})
    seen.add({ada.user_id: 4_000})
    await seen.save()
    assert await at() == 5_000
    seen.add({ada.user_id: 3_000})
    await seen.save()
    assert await at() == 5_000
    async with service.pool.acquire() as other, other.transaction():
        await other.execute("LOCK last_seen IN ACCESS EXCLUSIVE MODE")
        seen.add({ada.user_id: 9_000})
        await service.report((ada, "phone", "online"))  # waits for no Postgres
    await eventually(at, until=lambda value: value is not None and value > 9_000)


async def test_a_service_that_stops_keeps_what_it_gathered(
    make_database: MakeDatabase,
    redis_server: RedisServer,
    key_folder: Path,
    conversations: ConversationService,
) -> None:
    ada, database = new_person(), await make_database()
    async with run_presence_service(
        make_database,
        redis_server.url,
        key_folder,
        conversations.target,
        database=database,
        last_seen_flush_seconds=600,
    ) as service:
        await service.report((ada, "phone", "online"))
    connection = await asyncpg.connect(await database.url("presence_svc"))
    rows = await connection.fetch("SELECT user_id FROM presence_svc.last_seen")
    await connection.close()
    assert [row["user_id"] for row in rows] == [ada.user_id]


async def test_without_redis_everything_says_so_at_once_and_goes_on_when_it_is_back(
    make_database: MakeDatabase,
    redis_server: RedisServer,
    key_folder: Path,
    conversations: ConversationService,
) -> None:
    ada = new_person()
    async with (
        proxy_to(redis_server.url) as proxy,
        run_presence_service(
            make_database, proxy.url, key_folder, conversations.target, redis_timeout_seconds=0.3
        ) as service,
    ):
        await at_last(lambda: service.report((ada, "phone", "online")))
        for fault in (proxy.freeze, proxy.cut):
            done = fault()
            if done is not None:
                await done
            began = time.monotonic()
            for attempt in (service.report((ada, "phone", "away")), service.presence(ada, ada)):
                with pytest.raises(ChatError) as away:
                    await attempt
                assert away.value.reason is Reason.UNAVAILABLE
            assert time.monotonic() - began < TIMEOUT / 3
            await proxy.heal()
            assert (await at_last(lambda: own(service, ada))).status == rpc.STATUS_ONLINE
        await at_last(lambda: service.report((ada, "phone", "away")))
        assert (await at_last(lambda: own(service, ada))).status == rpc.STATUS_AWAY


async def test_a_garbled_state_is_mended_by_the_next_report(
    service: PresenceService, redis_client: redis.Redis
) -> None:
    ada = new_person()
    await service.report((ada, "phone", "online"))
    [key] = [key async for key in redis_client.scan_iter(f"presence:user:*:{ada.user_id}")]
    for garbage in (b"{", b"[]", b'{"leases": {"phone": 1}}', b'{"leases": {}, "told": "here"}', b"\xff"):
        await redis_client.set(key, garbage)
        assert (await own(service, ada)).status == rpc.STATUS_OFFLINE
        await service.report((ada, "phone", "online"))
        assert (await own(service, ada)).status == rpc.STATUS_ONLINE


async def test_a_call_is_traced_down_to_redis_and_the_sweeps_are_not(
    service: PresenceService, spans: list[ReadableSpan]
) -> None:
    await service.report((new_person(), "phone", "online"), (new_person(), "phone", "online"))
    await sweep_leases(service.app.deps)
    by_name = {each.name: each for each in spans if each.name.startswith("redis.")}
    assert sorted(by_name) == ["redis.apply_states", "redis.read_states"]
    for each in by_name.values():
        assert dict(each.attributes or {})["db.operation.batch.size"] == 2
        assert each.parent is not None
    assert sum(each.name.startswith("redis.") for each in spans) == 2


async def test_a_user_id_that_postgres_could_not_hold_is_refused(service: PresenceService) -> None:
    socket = rpc.Connection(user_id="a\0b", connection_id="phone", status=rpc.STATUS_ONLINE)
    with pytest.raises(ChatError) as refused:
        await service.call("ReportConnections", rpc.ReportConnectionsRequest(connections=[socket]))
    assert refused.value.reason is Reason.VALIDATION_FAILED
