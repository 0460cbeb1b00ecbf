"""Blocks: enforced on acknowledgement, and hidden from the blocked."""

from __future__ import annotations

import pytest
from splits.chat.conversation.v1 import conversation_pb2 as pb
from splits.chat.conversation.v1 import service_pb2 as rpc
from splits.chat.message.v1 import message_pb2

from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser
from servicekit.ids import new_id
from tests.support.conversation_svc import ConversationService, new_person
from tests.support.message_svc import MessageService

UNDELIVERABLE = message_pb2.REFUSAL_REASON_UNDELIVERABLE
REQUEST_PENDING = message_pb2.REFUSAL_REASON_REQUEST_PENDING


async def talking(service: ConversationService) -> tuple[ActingUser, ActingUser, str]:
    """Two people in an accepted conversation."""
    rita, cora = new_person(), new_person("candidate")
    await service.meet(rita, cora)
    conversation = await service.start(rita, cora, "job-1")
    await service.accept(cora, conversation)
    return rita, cora, conversation


async def test_after_a_block_neither_can_write_and_after_it_is_lifted_both_can(
    service: ConversationService, messages: MessageService
) -> None:
    rita, cora, conversation = await talking(service)

    await service.block(cora, rita)
    for who in (rita, cora):
        outcome = await messages.send(who.user_id, conversation, "during")
        assert outcome.refused.reason == UNDELIVERABLE
    await service.unblock(cora, rita)

    for who in (rita, cora):
        assert (await messages.send(who.user_id, conversation, "after")).HasField("stored")


async def test_the_blocker_sees_their_block_and_a_repeat_changes_nothing(
    service: ConversationService,
) -> None:
    rita, cora, conversation = await talking(service)

    await service.block(cora, rita)
    [blocked] = await service.get(cora, conversation)
    await service.block(cora, rita)
    [again] = await service.get(cora, conversation)

    assert (blocked.version, blocked.blocked_by_me, blocked.policy.can_send) == (3, True, False)
    assert blocked.policy.reason == pb.POLICY_REASON_BLOCKED_BY_ME
    assert again == blocked
    await service.unblock(cora, rita)
    await service.unblock(cora, rita)
    [lifted] = await service.get(cora, conversation)
    assert (lifted.version, lifted.blocked_by_me, lifted.policy.can_send) == (4, False, True)


@pytest.mark.parametrize("accepted", [False, True])
async def test_a_block_changes_no_byte_of_what_the_blocked_can_read(
    service: ConversationService, messages: MessageService, accepted: bool
) -> None:
    rita, cora = new_person(), new_person("candidate")
    await service.meet(rita, cora)
    conversation = await service.start(rita, cora)
    if accepted:
        await service.accept(cora, conversation)
        await messages.read(cora.user_id, conversation, 1)

    async def readable() -> tuple[bytes, bytes]:
        view = await messages.view(rita.user_id, conversation)
        assert view is not None
        seen = await service.get_all(rita, [conversation])
        return seen.SerializeToString(), view.SerializeToString()

    before = await readable()
    await service.block(cora, rita)
    during = await readable()
    outcome = await messages.send(rita.user_id, conversation, "more")
    await service.unblock(cora, rita)

    assert before == during == await readable()
    assert outcome.refused.reason == (UNDELIVERABLE if accepted else REQUEST_PENDING)


async def test_a_person_who_blocks_the_sender_cannot_accept_until_they_lift_it(
    service: ConversationService, messages: MessageService
) -> None:
    rita, cora = new_person(), new_person("candidate")
    await service.meet(cora)
    conversation = await service.start(rita, cora)
    await service.block(cora, rita)

    refused = await service.accept(cora, conversation)
    sent = await messages.send(cora.user_id, conversation, "c1")
    await service.unblock(cora, rita)

    assert refused.refused.reason == sent.refused.reason == UNDELIVERABLE
    assert (await service.accept(cora, conversation)).HasField("conversation")


async def test_nobody_starts_across_a_block(service: ConversationService) -> None:
    rita, cora = new_person(), new_person("candidate")
    await service.meet(rita, cora)
    await service.block(cora, rita)

    for sender, recipient in ((rita, cora), (cora, rita)):
        assert (await service.create(sender, recipient)).refused.reason == UNDELIVERABLE
    await service.unblock(cora, rita)

    assert (await service.create(rita, cora)).WhichOneof("outcome") == "created"


async def test_anybody_can_be_blocked_but_oneself(service: ConversationService) -> None:
    cora = new_person("candidate")
    await service.block(cora, new_person())  # never met

    for nobody in ("", "x" * 201, "nul\0"):
        with pytest.raises(ChatError) as refused:
            await service.block(cora, ActingUser(nobody, "recruiter"))
        assert refused.value.reason is Reason.VALIDATION_FAILED
    with pytest.raises(ChatError) as refused:
        await service.block(cora, cora)
    assert refused.value.reason is Reason.VALIDATION_FAILED
    assert [violation.pointer for violation in refused.value.violations] == ["/userId"]


async def test_a_list_of_blocks_tells_nothing_of_people_the_blocker_never_talked_with(
    service: ConversationService,
) -> None:
    """Anybody can block any id: the list must not be a way to look people up."""
    rita, cora = new_person(), new_person("candidate")
    await service.meet(rita, cora)
    await service.block(cora, rita)

    async def listed() -> pb.Profile:
        page: rpc.ListBlocksResponse = await service.call("ListBlocks", rpc.ListBlocksRequest(), cora)
        [block] = page.blocks
        return block.user

    assert await listed() == pb.Profile(user_id=rita.user_id)
    await service.unblock(cora, rita)
    await service.start(rita, cora)
    await service.block(cora, rita)
    assert (await listed()).display_name == "Recruiter"


async def test_blocks_are_listed_page_by_page_newest_first(service: ConversationService) -> None:
    cora = new_person("candidate")
    people = [new_person() for _ in range(5)]
    await service.meet(cora, people[0])
    await service.start(people[0], cora)
    for person in people:
        await service.block(cora, person)
    await service.unblock(cora, people[3])

    seen: list[rpc.Block] = []
    request = rpc.ListBlocksRequest(limit=2)
    while True:
        page: rpc.ListBlocksResponse = await service.call("ListBlocks", request, cora)
        assert 1 <= len(page.blocks) <= 2
        seen += page.blocks
        if not page.HasField("next"):
            break
        request = rpc.ListBlocksRequest(limit=2, after=page.next)

    expected = [people[number].user_id for number in (4, 2, 1, 0)]
    assert [block.user.user_id for block in seen] == expected
    assert seen[-1].user.display_name == "Recruiter"
    assert seen[0].user.role == pb.ROLE_UNSPECIFIED
    assert seen == sorted(seen, key=lambda block: block.blocked_at.ToNanoseconds(), reverse=True)


async def test_a_block_reaches_every_conversation_of_two_people_who_have_hundreds(
    service: ConversationService, messages: MessageService
) -> None:
    rita, cora, conversation = await talking(service)
    ids = [new_id() for _ in range(600)]
    await service.pool.execute(
        """
        INSERT INTO conversations (id, kind, state, initiator_id, recipient_id, pair_low, pair_high, job_id,
                                   gate_pushed, opened, created_at, expires_at, opening_at, push_due_at)
        SELECT new.id, kind, state, initiator_id, recipient_id, pair_low, pair_high, new.id::text, 1, true,
               created_at, expires_at, opening_at, push_due_at
        FROM conversations, unnest($2::uuid[]) AS new (id)
        WHERE conversations.id = $1::text::uuid
        """,
        conversation,
        ids,
    )
    await service.pool.execute(
        """
        INSERT INTO participants (conversation_id, user_id, side, joined_at, updated_at)
        SELECT new.id, user_id, side, joined_at, updated_at
        FROM participants, unnest($2::uuid[]) AS new (id)
        WHERE conversation_id = $1::text::uuid
        """,
        conversation,
        ids,
    )

    await service.block(cora, rita)

    held = await messages.pool.fetch("SELECT gate_version FROM gate WHERE id = ANY ($1)", ids)
    assert [row["gate_version"] for row in held] == [2] * 600
    outcome = await messages.send(rita.user_id, str(ids[-1]), "blocked")
    assert outcome.refused.reason == UNDELIVERABLE
    assert not await service.pool.fetchval("SELECT count(*) FROM owed_events")
