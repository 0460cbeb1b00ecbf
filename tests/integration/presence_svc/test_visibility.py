"""Who is shown what of whom: decided by conversation_svc, asked anew for each call."""

from __future__ import annotations

import uuid
from pathlib import Path

import orjson
import pytest
import redis.asyncio as redis
from splits.chat.presence.v1 import service_pb2 as rpc

from deploy.local.ports import free_port
from deploy.local.redis import Redis as RedisServer
from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser
from servicekit.realtime import conversation_channel
from tests.support.backing import MakeDatabase
from tests.support.conversation_svc import ConversationService, new_person
from tests.support.presence_svc import PresenceService, listening, run_presence_service


async def acquaintances(conversations: ConversationService) -> tuple[ActingUser, ActingUser, str]:
    """Two people in an accepted conversation."""
    ada, bob = new_person("recruiter"), new_person("candidate")
    await conversations.meet(ada, bob)
    conversation = await conversations.start(ada, bob)
    await conversations.accept(bob, conversation)
    return ada, bob, conversation


def pairs(people: list[rpc.Presence]) -> list[tuple[str, str]]:
    return [(each.user_id, rpc.Status.Name(each.status)) for each in people]


async def test_people_who_share_an_accepted_conversation_see_each_other(
    service: PresenceService, conversations: ConversationService
) -> None:
    ada, bob, _ = await acquaintances(conversations)
    [unseen] = await service.presence(ada, bob)
    assert (unseen.status, unseen.HasField("last_seen_at")) == (rpc.STATUS_OFFLINE, False)
    await service.report((bob, "phone", "away"), (bob, "laptop", "online"))
    [seen] = await service.presence(ada, bob)
    assert seen.status == rpc.STATUS_ONLINE
    assert seen.HasField("last_seen_at")
    await service.report((bob, "laptop", "offline"))
    assert pairs(await service.presence(ada, bob)) == [(bob.user_id, "STATUS_AWAY")]
    await service.report((bob, "phone", "offline"))
    [gone] = await service.presence(ada, bob)
    assert gone.status == rpc.STATUS_OFFLINE
    assert gone.last_seen_at.ToMilliseconds() >= seen.last_seen_at.ToMilliseconds()


async def test_strangers_and_those_who_still_wait_are_left_out_and_oneself_is_not(
    service: PresenceService, conversations: ConversationService
) -> None:
    ada, bob, _ = await acquaintances(conversations)
    waiting, stranger = new_person("candidate"), new_person("candidate")
    await conversations.meet(waiting, stranger)
    await conversations.start(ada, waiting)
    await service.report(*((each, "phone", "online") for each in (ada, bob, waiting, stranger)))
    seen = await service.presence(ada, stranger, bob, waiting, ada, bob)
    assert pairs(seen) == [(bob.user_id, "STATUS_ONLINE"), (ada.user_id, "STATUS_ONLINE")]
    assert await service.presence(waiting, ada) == []
    assert pairs(await service.presence(stranger, stranger, ada)) == [(stranger.user_id, "STATUS_ONLINE")]


async def test_who_hides_or_blocked_reads_as_one_who_was_never_here(
    service: PresenceService, conversations: ConversationService
) -> None:
    never: list[bytes] = []
    for change in ("nothing", "bob hides", "ada hides", "bob blocked", "ada blocked"):
        ada, bob, _ = await acquaintances(conversations)
        if change != "nothing":
            await service.report((bob, "phone", "online"))
        if change == "bob hides":
            await conversations.update_settings(bob, presence=False)
        if change == "ada hides":
            await conversations.update_settings(ada, presence=False)
        if change == "bob blocked":
            await conversations.block(bob, ada)
        if change == "ada blocked":
            await conversations.block(ada, bob)
        [seen] = await service.presence(ada, bob)
        seen.user_id = "the same in all"
        never.append(seen.SerializeToString(deterministic=True))
        [own] = await service.presence(bob, bob)
        assert (own.status == rpc.STATUS_ONLINE) == (change != "nothing"), "everybody sees themself"
    assert len(set(never)) == 1


async def test_of_many_who_ask_together_each_is_answered_as_if_they_had_asked_alone(
    service: PresenceService, conversations: ConversationService
) -> None:
    ada, bob, _ = await acquaintances(conversations)
    cid, dan, _ = await acquaintances(conversations)
    eve, fay, _ = await acquaintances(conversations)
    await service.report(*((each, "phone", "online") for each in (bob, cid, dan, eve)))
    await conversations.block(fay, eve)
    questions = [
        (ada, [dan, bob, ada, bob]),
        (dan, [cid, bob]),
        (bob, [bob]),
        (fay, [eve, fay]),
        (ada, [cid, dan]),
        (cid, [ada, dan]),
        (ada, [bob]),
    ]
    alone = [await service.presence(viewer, *people) for viewer, people in questions]
    assert await service.presences(*questions) == alone
    assert [pairs(each) for each in alone] == [
        [(bob.user_id, "STATUS_ONLINE"), (ada.user_id, "STATUS_OFFLINE")],
        [(cid.user_id, "STATUS_ONLINE")],
        [(bob.user_id, "STATUS_ONLINE")],
        [(eve.user_id, "STATUS_OFFLINE"), (fay.user_id, "STATUS_OFFLINE")],
        [],
        [(dan.user_id, "STATUS_ONLINE")],
        [(bob.user_id, "STATUS_ONLINE")],
    ]


async def test_who_asks_together_about_more_people_than_are_read_at_once_is_told_of_all(
    service: PresenceService,
) -> None:
    people = [new_person() for _ in range(210)]
    await service.report(*((each, "phone", "away") for each in people))
    seen = [
        found
        for start in range(0, len(people), 64)
        for found in await service.presences(*((each, [each]) for each in people[start : start + 64]))
    ]
    assert [pairs(each) for each in seen] == [[(each.user_id, "STATUS_AWAY")] for each in people]


async def test_questions_without_those_who_ask_are_refused(service: PresenceService) -> None:
    ada = new_person()
    question = rpc.GetPresenceRequest(user_ids=[ada.user_id])
    for request, reason in (
        (
            rpc.GetPresencesRequest(
                acting_users=service.signer().assertion_together([ada]), questions=[question, question]
            ),
            Reason.VALIDATION_FAILED,
        ),
        (rpc.GetPresencesRequest(acting_users="forged", questions=[question]), Reason.UNAUTHENTICATED),
    ):
        with pytest.raises(ChatError) as refused:
            await service.call("GetPresences", request)
        assert refused.value.reason is reason


async def test_a_block_and_its_end_show_in_the_very_next_answer(
    service: PresenceService, conversations: ConversationService
) -> None:
    ada, bob, conversation = await acquaintances(conversations)
    await service.report((bob, "phone", "online"))
    assert pairs(await service.presence(ada, bob)) == [(bob.user_id, "STATUS_ONLINE")]
    await conversations.block(bob, ada)
    assert pairs(await service.presence(ada, bob)) == [(bob.user_id, "STATUS_OFFLINE")]
    assert [list(each.presence_of) for each in await service.watch((ada, conversation))] == [[]]
    await conversations.unblock(bob, ada)
    assert pairs(await service.presence(ada, bob)) == [(bob.user_id, "STATUS_ONLINE")]


async def test_a_screen_is_told_whose_presence_it_may_show(
    service: PresenceService, conversations: ConversationService
) -> None:
    ada, bob, conversation = await acquaintances(conversations)
    stranger, unanswered = new_person("recruiter"), new_person("candidate")
    await conversations.meet(stranger, unanswered)
    request = await conversations.start(ada, unanswered)
    watches = await service.watch(
        (ada, conversation),
        (stranger, conversation),
        (bob, conversation),
        (ada, request),
        (ada, str(uuid.uuid4())),
    )
    assert [(each.found, list(each.presence_of)) for each in watches] == [
        (True, [bob.user_id]),
        (False, []),
        (True, [ada.user_id]),
        (True, []),
        (False, []),
    ]


async def test_screens_without_their_viewers_are_refused(service: PresenceService) -> None:
    ada = new_person()
    for request, reason in (
        (
            rpc.WatchConversationsRequest(
                acting_users=service.signer().assertion_together([ada]),
                conversation_ids=[str(uuid.uuid4()), str(uuid.uuid4())],
            ),
            Reason.VALIDATION_FAILED,
        ),
        (
            rpc.WatchConversationsRequest(acting_users="forged", conversation_ids=[str(uuid.uuid4())]),
            Reason.UNAUTHENTICATED,
        ),
    ):
        with pytest.raises(ChatError) as refused:
            await service.call("WatchConversations", request)
        assert refused.value.reason is reason


async def test_typing_is_told_to_those_who_may_see_it(
    service: PresenceService, conversations: ConversationService, redis_client: redis.Redis
) -> None:
    ada, bob, conversation = await acquaintances(conversations)
    async with listening(redis_client, conversation_channel(conversation)) as heard:
        await service.type(ada, conversation)
        await service.type(bob, conversation, typing=False)
        told = [(await heard.take()).split(b"\n", 1) for _ in range(2)]
    assert [orjson.loads(people) for people, _ in told] == [[bob.user_id], [ada.user_id]]
    first, second = (orjson.loads(frame) for _, frame in told)
    assert first.keys() == {"type", "eventId", "eventVersion", "occurredAt", "conversationId", "data"}
    assert (first["type"], first["conversationId"], first["data"]) == (
        "typing.started",
        conversation,
        {"userId": ada.user_id},
    )
    assert (second["type"], second["data"]) == ("typing.stopped", {"userId": bob.user_id})


async def test_typing_before_an_answer_with_a_block_or_hidden_is_for_nobody_and_looks_alike(
    service: PresenceService, conversations: ConversationService, redis_client: redis.Redis
) -> None:
    for change in ("request", "block", "blocked", "hides", "is hidden from"):
        ada, bob = new_person("recruiter"), new_person("candidate")
        await conversations.meet(ada, bob)
        conversation = await conversations.start(ada, bob)
        if change != "request":
            await conversations.accept(bob, conversation)
        if change == "block":
            await conversations.block(ada, bob)
        if change == "blocked":
            await conversations.block(bob, ada)
        if change == "hides":
            await conversations.update_settings(ada, typing_indicators=False)
        if change == "is hidden from":
            await conversations.update_settings(bob, typing_indicators=False)
        async with listening(redis_client, conversation_channel(conversation)) as heard:
            await service.type(ada, conversation)
            people, _, _ = (await heard.take()).partition(b"\n")
        assert orjson.loads(people) == []


async def test_who_is_not_in_the_conversation_types_nowhere(
    service: PresenceService, conversations: ConversationService, redis_client: redis.Redis
) -> None:
    _, _, conversation = await acquaintances(conversations)
    stranger = new_person()
    async with listening(redis_client, conversation_channel(conversation)) as heard:
        errors = []
        for place in (conversation, str(uuid.uuid4())):
            with pytest.raises(ChatError) as refused:
                await service.type(stranger, place)
            errors.append((refused.value.reason, refused.value.message))
        assert await heard.rest() == []
    assert errors == [(Reason.NOT_FOUND, errors[0][1])] * 2


async def test_who_looks_through_somebodys_eyes_types_for_nobody(
    service: PresenceService, conversations: ConversationService
) -> None:
    ada, bob, conversation = await acquaintances(conversations)
    looking = ActingUser(ada.user_id, ada.role, impersonator="support")
    assert len(await service.presence(looking, bob)) == 1
    with pytest.raises(ChatError) as refused:
        await service.type(looking, conversation)
    assert refused.value.reason is Reason.FORBIDDEN


async def test_internal_programs_may_look_for_somebody_and_report_no_sockets(
    service: PresenceService, conversations: ConversationService
) -> None:
    ada, bob, _ = await acquaintances(conversations)
    request = rpc.GetPresenceRequest(user_ids=[bob.user_id])
    assert len((await service.call("GetPresence", request, ada, by="ats_sync")).people) == 1
    socket = rpc.Connection(user_id=bob.user_id, connection_id="phone", status=rpc.STATUS_ONLINE)
    with pytest.raises(ChatError) as refused:
        await service.call(
            "ReportConnections", rpc.ReportConnectionsRequest(connections=[socket]), by="ats_sync"
        )
    assert refused.value.reason is Reason.FORBIDDEN


async def test_without_conversation_svc_nobody_is_shown_anything_and_reports_go_on(
    make_database: MakeDatabase, redis_server: RedisServer, key_folder: Path, redis_client: redis.Redis
) -> None:
    ada, bob, conversation = new_person(), new_person(), str(uuid.uuid4())
    nowhere = f"127.0.0.1:{free_port()}"
    async with (
        run_presence_service(
            make_database, redis_server.url, key_folder, nowhere, conversation_svc_timeout_seconds=0.5
        ) as alone,
        listening(redis_client, conversation_channel(conversation)) as heard,
    ):
        await alone.report((bob, "phone", "online"))
        for attempt in (
            alone.presence(ada, bob),
            alone.watch((ada, conversation)),
            alone.type(ada, conversation),
        ):
            with pytest.raises(ChatError) as away:
                await attempt
            assert away.value.reason is Reason.UNAVAILABLE
        assert await heard.rest() == []
        assert pairs(await alone.presence(bob, bob)) == [(bob.user_id, "STATUS_ONLINE")]
