"""Profiles and connections: who people are, as tokens and the marketplace tell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from splits.chat.conversation.v1 import conversation_pb2 as pb
from splits.chat.conversation.v1 import service_pb2 as rpc
from splits.chat.message.v1 import message_pb2

from conversation_svc import store
from conversation_svc.store import pushes, reminders
from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser
from tests.support.conversation_svc import ConversationService, new_person
from tests.support.message_svc import TIMEOUT, MessageService


async def told_by_marketplace(service: ConversationService, method: str, request: Any) -> None:
    client = service.client("ats_sync")
    await client.call(getattr(client.stub, method), request, timeout=TIMEOUT)


def profile(person: ActingUser, **fields: Any) -> pb.Profile:
    return pb.Profile(**{"user_id": person.user_id, "role": pb.ROLE_CANDIDATE, **fields})


async def test_people_whom_the_marketplace_told_of_can_be_written_to(service: ConversationService) -> None:
    rita, cora = new_person(), new_person("candidate")
    people = [profile(cora, display_name="Cora C."), profile(cora, display_name="Cora Candidate")]
    await told_by_marketplace(service, "UpsertProfiles", rpc.UpsertProfilesRequest(profiles=people))

    created = (await service.create(rita, cora)).created.conversation

    assert created.participants[1].user.display_name == "Cora Candidate"


async def test_a_profile_needs_a_role(service: ConversationService) -> None:
    people = [profile(new_person()), profile(new_person(), role=pb.ROLE_UNSPECIFIED)]

    with pytest.raises(ChatError) as refused:
        await told_by_marketplace(service, "UpsertProfiles", rpc.UpsertProfilesRequest(profiles=people))

    assert [violation.pointer for violation in refused.value.violations] == ["/profiles/1/role"]


async def test_people_who_know_each_other_start_without_a_request(
    service: ConversationService, messages: MessageService
) -> None:
    rita, cora = new_person(), new_person("candidate")
    await service.meet(rita, cora)
    request = rpc.ConnectPeopleRequest(user_id=cora.user_id, other_user_id=rita.user_id)
    for _ in range(2):
        await told_by_marketplace(service, "ConnectPeople", request)

    one, two = [(await service.create(rita, cora, job)).created for job in ("job-1", "job-2")]

    for created in (one, two):
        assert created.conversation.state == message_pb2.CONVERSATION_STATE_ACTIVE
        assert (await messages.send(cora.user_id, created.conversation.id, "c1")).stored.seq == 2
    same = rpc.ConnectPeopleRequest(user_id=rita.user_id, other_user_id=rita.user_id)
    with pytest.raises(ChatError) as refused:
        await told_by_marketplace(service, "ConnectPeople", same)
    assert [violation.pointer for violation in refused.value.violations] == ["/otherUserId"]


async def test_a_profile_is_written_only_when_it_changed(service: ConversationService) -> None:
    rita = new_person(org_name="Harbour")
    written = "SELECT xmin::text FROM profiles WHERE user_id = $1"
    await service.meet(rita)
    before = await service.pool.fetchval(written, rita.user_id)
    await service.meet(rita, rita)
    assert await service.pool.fetchval(written, rita.user_id) == before

    renamed = ActingUser(rita.user_id, "recruiter", display_name="R\0ita \ud800", org_name="Harbour")
    response: rpc.SyncProfileResponse = await service.call("SyncProfile", rpc.SyncProfileRequest(), renamed)

    assert response.profile.display_name == "Rita ?"
    assert response.profile.org_name == "Harbour"
    assert await service.pool.fetchval(written, rita.user_id) != before


async def test_profiles_of_many_are_told_in_one_call_and_one_strange_role_fails_nobody_else(
    service: ConversationService,
) -> None:
    rita, cora = new_person(email="rita@example.com"), new_person("candidate", impersonator="support")
    stranger, renamed = ActingUser("x", "accountant"), replace(rita, display_name="Rita Two")

    async def tell(*people: ActingUser) -> list[str | None]:
        request = rpc.SyncProfilesRequest(acting_users=service.signer().assertion_together(people))
        response = await service.call("SyncProfiles", request, None)
        return [each.profile.display_name if each.HasField("profile") else None for each in response.people]

    assert await tell(rita, stranger, cora, renamed) == [
        rita.display_name,
        None,
        cora.display_name,
        "Rita Two",
    ]
    known = await store.get_profiles(service.pool, [rita.user_id, cora.user_id, "x"])
    assert {user_id: each.display_name for user_id, each in known.items()} == {rita.user_id: "Rita Two"}
    addresses = "SELECT count(*) FROM mail_addresses WHERE user_id = $1"
    assert await service.pool.fetchval(addresses, rita.user_id) == 1
    other = new_person(email="other@example.com")
    await tell(other, replace(other, email=None))
    assert await service.pool.fetchval(addresses, other.user_id) == 1

    written = "SELECT xmin::text FROM profiles WHERE user_id = $1"
    before = await service.pool.fetchval(written, rita.user_id)
    await tell(renamed)
    assert await service.pool.fetchval(written, rita.user_id) == before


async def test_a_role_that_the_chat_does_not_know_is_forbidden(service: ConversationService) -> None:
    with pytest.raises(ChatError) as refused:
        await service.meet(ActingUser("somebody", "accountant"))

    assert refused.value.reason is Reason.FORBIDDEN


@pytest.mark.parametrize("emails", [{"nul\0": "a@example.com"}, {"rita": "a\0@example.com"}])
async def test_an_address_with_nul_in_it_is_refused_as_any_text(
    service: ConversationService, emails: dict[str, str]
) -> None:
    request = rpc.UpsertProfilesRequest(profiles=[profile(new_person())], emails=emails)

    with pytest.raises(ChatError) as refused:
        await told_by_marketplace(service, "UpsertProfiles", request)

    assert refused.value.reason is Reason.VALIDATION_FAILED
    assert [violation.pointer for violation in refused.value.violations] == ["/emails"]


async def test_the_edge_does_not_speak_for_the_marketplace(service: ConversationService) -> None:
    request = rpc.UpsertProfilesRequest(profiles=[profile(new_person())])

    with pytest.raises(ChatError) as refused:
        await service.call("UpsertProfiles", request, None)

    assert refused.value.reason is Reason.FORBIDDEN


async def test_every_named_query_fits_the_migrated_schema(service: ConversationService) -> None:
    async with service.pool.acquire() as conn:
        for query in [*store.q, *pushes.q, *reminders.q]:
            await conn.prepare(query.sql)
