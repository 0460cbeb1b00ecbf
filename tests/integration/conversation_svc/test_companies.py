"""Who may see whom, as presence_svc is told."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest
from splits.chat.conversation.v1 import service_pb2 as rpc

from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser
from tests.support.conversation_svc import ConversationService, new_person
from tests.support.message_svc import TIMEOUT
from tests.support.plans import explained
from tests.support.pushes import talking

NOBODY = rpc.Company(found=True)


async def companies(
    service: ConversationService, *viewings: tuple[ActingUser, str], caller: str = "presence_svc"
) -> list[rpc.Company]:
    """The company of each (viewer, conversation)."""
    client = service.client(caller)
    request = rpc.GetCompaniesRequest(
        viewings=[
            rpc.Viewing(viewer_id=viewer.user_id, conversation_id=conversation)
            for viewer, conversation in viewings
        ]
    )
    return list((await client.call(client.stub.GetCompanies, request, timeout=TIMEOUT)).companies)


async def rights(
    service: ConversationService, viewer: ActingUser, *people: str, caller: str = "presence_svc"
) -> dict[str, bool]:
    """By person, whether the viewer may see if they are here."""
    client = service.client(caller)
    request = rpc.GetPresenceRightsRequest(viewer_id=viewer.user_id, user_ids=people)
    response = await client.call(client.stub.GetPresenceRights, request, timeout=TIMEOUT)
    found = {each.user_id: each.visible for each in response.rights}
    assert len(found) == len(response.rights)
    return found


async def many_rights(
    service: ConversationService, *questions: tuple[ActingUser, list[str]]
) -> list[dict[str, bool]]:
    """The same for several viewers at once."""
    client = service.client("presence_svc")
    request = rpc.GetManyPresenceRightsRequest(
        questions=[
            rpc.GetPresenceRightsRequest(viewer_id=viewer.user_id, user_ids=people)
            for viewer, people in questions
        ]
    )
    response = await client.call(client.stub.GetManyPresenceRights, request, timeout=TIMEOUT)
    return [{each.user_id: each.visible for each in answer.rights} for answer in response.answers]


def company(*others: ActingUser, presence: bool = True, typing: bool = True) -> rpc.Company:
    return rpc.Company(
        found=True,
        companions=[rpc.Companion(user_id=each.user_id, presence=presence, typing=typing) for each in others],
    )


async def join(service: ConversationService, conversation: str, who: ActingUser, side: str) -> None:
    """As whoever is added to a conversation of a team stands in the tables."""
    await service.pool.execute(
        "INSERT INTO participants (conversation_id, user_id, side, joined_at, updated_at)"
        " VALUES ($1::text::uuid, $2, $3, now(), now())",
        conversation,
        who.user_id,
        side,
    )


async def leave(service: ConversationService, conversation: str, who: ActingUser) -> None:
    await service.pool.execute(
        "UPDATE participants SET left_at = $3 WHERE conversation_id = $1::text::uuid AND user_id = $2",
        conversation,
        who.user_id,
        datetime.now(UTC),
    )


async def test_the_two_of_an_active_conversation_may_see_each_other(service: ConversationService) -> None:
    rita, cora, conversation = await talking(service)

    assert await companies(service, (rita, conversation), (cora, conversation)) == [
        company(cora),
        company(rita),
    ]
    assert await rights(service, rita, cora.user_id) == {cora.user_id: True}
    assert await rights(service, cora, rita.user_id) == {rita.user_id: True}


async def test_viewings_are_answered_in_their_order_and_strangers_find_nothing(
    service: ConversationService,
) -> None:
    rita, cora, conversation = await talking(service)
    ruth, carl, other = await talking(service)
    stranger, unknown = new_person(), str(uuid.uuid4())

    assert await companies(
        service,
        (stranger, conversation),
        (carl, other),
        (rita, unknown),
        (rita, conversation),
        (rita, conversation),
        (ruth, conversation),
        (cora, conversation),
    ) == [
        rpc.Company(),
        company(ruth),
        rpc.Company(),
        company(cora),
        company(cora),
        rpc.Company(),
        company(rita),
    ]


async def test_only_people_of_a_shared_active_conversation_are_answered_for(
    service: ConversationService,
) -> None:
    rita, cora, _ = await talking(service)
    carl, cyn, stranger = new_person("candidate"), new_person("candidate"), new_person()
    await service.meet(carl, cyn)
    await service.start(rita, carl)  # not accepted
    await service.decline(cyn, await service.start(rita, cyn))

    asked = [carl.user_id, cora.user_id, cyn.user_id, cora.user_id, stranger.user_id, rita.user_id, "nobody"]
    assert await rights(service, rita, *asked) == {cora.user_id: True}
    assert await rights(service, stranger, *asked) == {}


async def test_of_many_viewers_each_is_told_their_own_rights(service: ConversationService) -> None:
    rita, cora, _ = await talking(service)
    ruth, carl, _ = await talking(service)
    await service.block(carl, ruth)
    questions = [
        (rita, [cora.user_id, carl.user_id]),
        (ruth, [cora.user_id]),
        (cora, [rita.user_id, rita.user_id, cora.user_id]),
        (ruth, [carl.user_id, "nobody"]),
        (rita, [cora.user_id]),
    ]
    assert await many_rights(service, *questions) == [
        {cora.user_id: True},
        {},
        {rita.user_id: True},
        {carl.user_id: False},
        {cora.user_id: True},
    ]


@pytest.mark.parametrize("answer", ["waits", "declined", "withdrawn"])
async def test_nobody_is_company_unless_the_conversation_is_active(
    service: ConversationService, answer: str
) -> None:
    rita, cora = new_person(), new_person("candidate")
    await service.meet(rita, cora)
    conversation = await service.start(rita, cora)
    if answer == "declined":
        await service.decline(cora, conversation)
    elif answer == "withdrawn":
        await service.withdraw(rita, conversation)

    assert await companies(service, (rita, conversation), (cora, conversation)) == [NOBODY, NOBODY]
    assert await rights(service, rita, cora.user_id) == await rights(service, cora, rita.user_id) == {}


async def test_what_is_not_open_yet_is_nobodys(service: ConversationService) -> None:
    rita, cora, conversation = await talking(service)
    opened = "UPDATE conversations SET opened = $2 WHERE id = $1::text::uuid"
    await service.pool.execute(opened, conversation, False)

    assert await companies(service, (rita, conversation)) == [rpc.Company()]
    assert await rights(service, rita, cora.user_id) == {}
    await service.pool.execute(opened, conversation, True)  # or the service goes on looking for its message


@pytest.mark.parametrize("blockers", ["viewer", "other", "both"])
async def test_a_block_either_way_hides_both_and_its_end_shows_them(
    service: ConversationService, blockers: str
) -> None:
    rita, cora, conversation = await talking(service)
    pairs = [(rita, cora)] * (blockers != "other") + [(cora, rita)] * (blockers != "viewer")
    for blocker, blocked in pairs:
        await service.block(blocker, blocked)

    assert await companies(service, (rita, conversation), (cora, conversation)) == [NOBODY, NOBODY]
    assert await rights(service, rita, cora.user_id) == {cora.user_id: False}
    assert await rights(service, cora, rita.user_id) == {rita.user_id: False}

    for blocker, blocked in pairs:
        await service.unblock(blocker, blocked)
    assert await companies(service, (rita, conversation)) == [company(cora)]
    assert await rights(service, rita, cora.user_id) == {cora.user_id: True}


async def test_a_hidden_presence_hides_both_ways_and_nothing_else(service: ConversationService) -> None:
    rita, cora, conversation = await talking(service)
    await service.update_settings(cora, presence=False, read_receipts=False)

    assert await companies(service, (rita, conversation), (cora, conversation)) == [
        company(cora, presence=False),
        company(rita, presence=False),
    ]
    assert await rights(service, rita, cora.user_id) == {cora.user_id: False}
    assert await rights(service, cora, rita.user_id) == {rita.user_id: False}

    await service.update_settings(rita, typing_indicators=False)
    assert await companies(service, (rita, conversation), (cora, conversation)) == [NOBODY, NOBODY]


async def test_of_a_team_those_who_are_in_it_now_and_on_one_side_blocks_count_too(
    service: ConversationService,
) -> None:
    rita, cora, conversation = await talking(service)
    ruth, rose = new_person(), new_person()
    for colleague in (ruth, rose):
        await join(service, conversation, colleague, "initiator")
    await leave(service, conversation, rose)
    everybody = sorted((rita, cora, ruth), key=lambda each: each.user_id)

    for viewer in everybody:
        others = [each for each in everybody if each is not viewer]
        assert await companies(service, (viewer, conversation)) == [company(*others)]
    assert await companies(service, (rose, conversation)) == [rpc.Company()]

    await service.block(ruth, rita)
    assert await companies(service, (rita, conversation), (ruth, conversation), (cora, conversation)) == [
        company(cora),
        company(cora),
        company(*[each for each in everybody if each is not cora]),
    ]


async def test_who_left_is_nobodys_company(service: ConversationService) -> None:
    rita, cora, conversation = await talking(service)
    await leave(service, conversation, cora)

    assert await companies(service, (rita, conversation), (cora, conversation)) == [NOBODY, rpc.Company()]
    assert await rights(service, rita, cora.user_id) == await rights(service, cora, rita.user_id) == {}


async def test_one_active_conversation_of_several_is_enough(service: ConversationService) -> None:
    rita, cora, first = await talking(service)
    second = await service.start(rita, cora, job="another")

    assert await companies(service, (rita, first), (rita, second)) == [company(cora), NOBODY]
    assert await rights(service, rita, cora.user_id) == {cora.user_id: True}


async def test_only_presence_svc_is_told(service: ConversationService) -> None:
    rita, cora, conversation = await talking(service)

    for caller in ("edge_gateway", "ats_sync"):
        for asking in (
            companies(service, (rita, conversation), caller=caller),
            rights(service, rita, cora.user_id, caller=caller),
        ):
            with pytest.raises(ChatError) as refused:
                await asking
            assert refused.value.reason is Reason.FORBIDDEN


async def test_ids_that_postgres_cannot_hold_are_refused(service: ConversationService) -> None:
    with pytest.raises(ChatError) as refused:
        await rights(service, new_person(), "nobody", "a\0b")
    assert refused.value.reason is Reason.VALIDATION_FAILED
    assert [each.pointer for each in refused.value.violations] == ["/userIds/1"]


async def test_a_full_batch_reads_what_it_answers_with_however_much_is_stored(
    service: ConversationService,
) -> None:
    rita, stored = new_person(), 5_000
    await service.pool.execute(FILL_CONVERSATIONS, rita.user_id, stored)
    for statement in (FILL_PARTICIPANTS, FILL_SETTINGS, FILL_BLOCKS):
        await service.pool.execute(statement, rita.user_id)
    for table in ("conversations", "participants", "privacy_settings", "blocks"):
        await service.pool.execute(f"ANALYZE {table}")
    rows = await service.pool.fetch(
        "SELECT id::text, recipient_id FROM conversations WHERE initiator_id = $1 LIMIT 100", rita.user_id
    )

    async with explained(service.pool) as plans:
        viewings = [(rita, row["id"]) for row in rows[:64]]
        assert all(len(each.companions) == 1 for each in await companies(service, *viewings))
        people = [row["recipient_id"] for row in rows]
        assert await rights(service, rita, *people) == dict.fromkeys(people, True)
        viewers = [ActingUser(each, "candidate") for each in people[:64]]
        answers = await many_rights(service, *((each, [rita.user_id]) for each in viewers))
        assert answers == [{rita.user_id: True}] * 64

    found = [each for each in plans if each.name in ("list_companies", "list_acquainted")]
    assert [each.name for each in found] == ["list_companies", "list_acquainted", "list_acquainted"]
    for plan, asked in zip(found, (64, 100, 64), strict=True):
        # The conversation, its participants from either end, two people's settings.
        assert plan.rows <= 6 * asked
        assert plan.scanned_whole == set()
        assert plan.blocks <= 25 * asked


FILL_CONVERSATIONS = """
INSERT INTO conversations
    (id, kind, state, initiator_id, recipient_id, pair_low, pair_high, gate_pushed, push_due_at, opened,
     opening_at, created_at, expires_at)
SELECT gen_random_uuid(), 'direct', 'active', $1, other, least($1, other COLLATE "C"),
       greatest($1, other COLLATE "C"), 1, now(), true, now(), now(), now()
FROM (SELECT $1 || '-' || number AS other FROM generate_series(1, $2) AS number) AS others
"""
FILL_PARTICIPANTS = """
INSERT INTO participants (conversation_id, user_id, side, joined_at, updated_at)
SELECT id, side.user_id, side.side, now(), now()
FROM conversations,
     LATERAL (VALUES (initiator_id, 'initiator'), (recipient_id, 'recipient')) AS side (user_id, side)
WHERE initiator_id = $1
"""
FILL_SETTINGS = """
INSERT INTO privacy_settings (user_id, updated_at)
SELECT recipient_id, now() FROM conversations WHERE initiator_id = $1
"""
FILL_BLOCKS = """
INSERT INTO blocks (blocker_id, blocked_id, created_at)
SELECT recipient_id, $1 || '-blocked', now() FROM conversations WHERE initiator_id = $1
"""
