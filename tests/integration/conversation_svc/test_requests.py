"""Requests: started, accepted, declined, withdrawn."""

from __future__ import annotations

import uuid

import pytest
from splits.chat.conversation.v1 import conversation_pb2 as pb
from splits.chat.message.v1 import message_pb2

from servicekit.errors import ChatError, Reason
from tests.support.conversation_svc import ConversationService, new_person
from tests.support.message_svc import MessageService

REQUEST = message_pb2.CONVERSATION_STATE_REQUEST
ACTIVE = message_pb2.CONVERSATION_STATE_ACTIVE
DECLINED = message_pb2.CONVERSATION_STATE_DECLINED
WITHDRAWN = message_pb2.CONVERSATION_STATE_WITHDRAWN


async def test_a_first_message_starts_a_request_that_both_can_see(
    service: ConversationService, messages: MessageService
) -> None:
    rita = new_person("recruiter", org_name="Harbour Talent")
    cora = new_person("candidate")
    await service.meet(rita, cora)

    response = await service.create(rita, cora, "job-1", job_title="Welder", company_name="Not hers to give")

    assert response.created.message.seq == 1
    mine = response.created.conversation
    assert (mine.state, mine.version, mine.blocked_by_me) == (REQUEST, 1, False)
    assert mine.policy.reason == pb.POLICY_REASON_REQUEST_PENDING
    assert (mine.policy.can_send, mine.policy.messages_left) == (False, 0)
    assert (mine.context.job_title, mine.context.company_name) == ("Welder", "Harbour Talent")
    [theirs] = await service.get(cora, mine.id)
    assert theirs.policy.reason == pb.POLICY_REASON_ACCEPT_REQUIRED
    assert not theirs.policy.HasField("messages_left")
    assert [person.user.user_id for person in theirs.participants] == [rita.user_id, cora.user_id]
    view = await messages.view(cora.user_id, mine.id)
    assert view is not None
    assert (view.folder, view.unread_count) == (message_pb2.FOLDER_REQUESTS, 1)


async def test_a_second_message_before_the_answer_is_request_pending(
    service: ConversationService, messages: MessageService
) -> None:
    rita, cora = new_person(), new_person("candidate")
    await service.meet(cora)
    conversation = await service.start(rita, cora)

    outcome = await messages.send(rita.user_id, conversation, "second")

    assert outcome.refused.reason == message_pb2.REFUSAL_REASON_REQUEST_PENDING


async def test_accepting_lets_both_write_and_is_repeatable(
    service: ConversationService, messages: MessageService
) -> None:
    rita, cora = new_person(), new_person("candidate")
    await service.meet(cora)
    conversation = await service.start(rita, cora)
    refused = await messages.send(cora.user_id, conversation, "c1")
    assert refused.refused.reason == message_pb2.REFUSAL_REASON_ACCEPT_REQUIRED

    first = await service.accept(cora, conversation)
    second = await service.accept(cora, conversation)

    assert first == second
    assert (first.conversation.state, first.conversation.version) == (ACTIVE, 2)
    assert (await messages.send(cora.user_id, conversation, "c2")).stored.seq == 2
    assert (await messages.send(rita.user_id, conversation, "r2")).stored.seq == 3


async def test_a_declined_request_reads_as_waiting_to_its_sender(
    service: ConversationService, messages: MessageService
) -> None:
    rita, cora = new_person(), new_person("candidate")
    await service.meet(cora)
    conversation = await service.start(rita, cora)
    before = await service.get_all(rita, [conversation])

    declined = await service.decline(cora, conversation, reason="not now")
    again = await service.decline(cora, conversation, reason="changed my mind")

    assert declined == again
    assert (declined.conversation.state, declined.conversation.version) == (DECLINED, 2)
    assert declined.conversation.policy.reason == pb.POLICY_REASON_REQUEST_CLOSED
    after = await service.get_all(rita, [conversation])
    assert after.SerializeToString() == before.SerializeToString()
    outcome = await messages.send(rita.user_id, conversation, "second")
    assert outcome.refused.reason == message_pb2.REFUSAL_REASON_REQUEST_PENDING
    assert (await service.accept(cora, conversation)).refused.reason == (
        message_pb2.REFUSAL_REASON_REQUEST_CLOSED
    )
    reason = await service.pool.fetchval(
        "SELECT decline_reason FROM conversations WHERE id = $1", uuid.UUID(conversation)
    )
    assert reason == "not now"


async def test_declining_can_block_in_the_same_step(
    service: ConversationService, messages: MessageService
) -> None:
    rita, cora = new_person(), new_person("candidate")
    await service.meet(cora)
    conversation = await service.start(rita, cora, "job-1")
    before = await service.get_all(rita, [conversation])

    declined = await service.decline(cora, conversation, block=True)

    assert declined.conversation.blocked_by_me
    after = await service.get_all(rita, [conversation])
    assert after.SerializeToString() == before.SerializeToString()
    # Asked about another job, her waiting request answers, and not the block.
    other = await service.create(rita, cora, "job-2")
    assert other.refused.reason == message_pb2.REFUSAL_REASON_REQUEST_PENDING


async def test_a_request_can_be_withdrawn_whatever_became_of_it(
    service: ConversationService, messages: MessageService
) -> None:
    rita, cora, cleo = new_person(), new_person("candidate"), new_person("candidate")
    await service.meet(cora, cleo)
    waiting, declined = await service.start(rita, cora), await service.start(rita, cleo)
    await service.decline(cleo, declined)
    seen_by_cleo = await service.get_all(cleo, [declined])

    answers = [await service.withdraw(rita, each) for each in (waiting, declined, waiting)]

    for answer in answers:
        assert (answer.conversation.state, answer.conversation.version) == (WITHDRAWN, 2)
        assert answer.conversation.policy.reason == pb.POLICY_REASON_REQUEST_CLOSED
    [seen_by_cora] = await service.get(cora, waiting)
    assert (seen_by_cora.state, seen_by_cora.version) == (WITHDRAWN, 2)
    assert (await service.get_all(cleo, [declined])).SerializeToString() == seen_by_cleo.SerializeToString()
    assert (await service.decline(cleo, declined)).conversation.state == DECLINED
    for who, conversation in ((cora, waiting), (rita, waiting), (rita, declined)):
        outcome = await messages.send(who.user_id, conversation, "late")
        assert outcome.refused.reason == message_pb2.REFUSAL_REASON_REQUEST_CLOSED
    assert (await service.accept(cora, waiting)).refused.reason == message_pb2.REFUSAL_REASON_REQUEST_CLOSED


async def test_answers_are_for_the_side_they_belong_to(service: ConversationService) -> None:
    rita, cora, eve = new_person(), new_person("candidate"), new_person()
    await service.meet(cora, eve)
    conversation = await service.start(rita, cora)
    forbidden = message_pb2.REFUSAL_REASON_FORBIDDEN

    assert (await service.accept(rita, conversation)).refused.reason == forbidden
    assert (await service.decline(rita, conversation, block=True)).refused.reason == forbidden
    assert (await service.withdraw(cora, conversation)).refused.reason == forbidden
    assert await service.get(eve, conversation, str(uuid.uuid4())) == []
    for answer in (service.accept, service.decline, service.withdraw):
        for unseen in (conversation, str(uuid.uuid4())):
            with pytest.raises(ChatError) as refused:
                await answer(eve, unseen)
            assert refused.value.reason is Reason.NOT_FOUND


async def test_a_second_create_for_the_job_finds_the_conversation(service: ConversationService) -> None:
    rita, cora = new_person(), new_person("candidate")
    await service.meet(cora)
    conversation = await service.start(rita, cora, "job-1")

    assert (await service.create(rita, cora, "job-1")).existing.id == conversation
    assert (await service.create(cora, rita, "job-1")).existing.id == conversation


async def test_one_request_waits_at_a_time_and_the_recipients_own_start_is_a_reply(
    service: ConversationService,
) -> None:
    rita, cora = new_person(), new_person("candidate")
    await service.meet(cora)
    conversation = await service.start(rita, cora, "job-1")

    another = await service.create(rita, cora, "job-2")
    reply = await service.create(cora, rita, "job-3")

    assert another.refused.reason == message_pb2.REFUSAL_REASON_REQUEST_PENDING
    assert reply.existing.id == conversation


async def test_after_a_decline_and_a_withdrawal_the_sender_cools_down(service: ConversationService) -> None:
    rita, cora = new_person(), new_person("candidate")
    await service.meet(cora)
    conversation = await service.start(rita, cora, "job-1")
    await service.decline(cora, conversation)
    await service.withdraw(rita, conversation)

    refused = await service.create(rita, cora, "job-2")
    theirs = await service.create(cora, rita, "job-2")

    assert refused.refused.reason == message_pb2.REFUSAL_REASON_UNDELIVERABLE
    assert theirs.WhichOneof("outcome") == "created"  # who declined may change their mind


async def test_after_a_withdrawal_alone_another_job_may_be_asked_about(service: ConversationService) -> None:
    rita, cora = new_person(), new_person("candidate")
    await service.meet(cora)
    await service.withdraw(rita, await service.start(rita, cora, "job-1"))

    assert (await service.create(rita, cora, "job-2")).WhichOneof("outcome") == "created"


async def test_who_may_start_with_whom_is_a_matter_of_roles(service: ConversationService) -> None:
    cora, cleo, rita, comp = (new_person(role) for role in ("candidate", "candidate", "recruiter", "company"))
    await service.meet(cora, cleo, rita, comp)

    refused = await service.create(cora, cleo)

    assert refused.refused.reason == message_pb2.REFUSAL_REASON_FORBIDDEN
    for sender, recipient in ((cora, rita), (rita, comp), (comp, cora)):
        assert (await service.create(sender, recipient)).WhichOneof("outcome") == "created"


async def test_nobody_can_be_written_to_before_they_were_met(service: ConversationService) -> None:
    response = await service.create(new_person(), new_person("candidate"))

    assert response.refused.reason == message_pb2.REFUSAL_REASON_UNDELIVERABLE


async def test_what_a_client_may_not_give_is_named_by_pointer(service: ConversationService) -> None:
    rita, cora = new_person(), new_person("candidate")
    await service.meet(cora)
    good = "https://jobs.example.com/welder"
    created = await service.create(rita, cora, "job-1", url=good, company_logo_url=good)
    assert created.created.conversation.context.url == good

    with pytest.raises(ChatError) as refused:
        await service.create(rita, rita, url="https://evil.example.com", company_logo_url="javascript:1")

    assert refused.value.reason is Reason.VALIDATION_FAILED
    pointers = {violation.pointer for violation in refused.value.violations}
    assert pointers == {"/recipientId", "/context/url", "/context/companyLogoUrl"}
    with pytest.raises(ChatError) as refused:
        await service.create(rita, cora, "job\0two")
    assert [violation.pointer for violation in refused.value.violations] == ["/context/jobId"]


async def test_under_impersonation_nothing_changes(service: ConversationService) -> None:
    rita, cora = new_person(), new_person("candidate")
    await service.meet(cora)
    conversation = await service.start(rita, cora)
    shadow = new_person("candidate", impersonator="support")

    for attempt in (
        service.create(shadow, rita),
        service.accept(shadow, conversation),
        service.decline(shadow, conversation),
        service.withdraw(shadow, conversation),
        service.block(shadow, rita),
        service.unblock(shadow, rita),
    ):
        with pytest.raises(ChatError) as refused:
            await attempt
        assert refused.value.reason is Reason.FORBIDDEN
    await service.meet(shadow)
    assert not await service.pool.fetchval("SELECT count(*) FROM profiles WHERE user_id = $1", shadow.user_id)


async def test_what_a_later_release_wrote_of_a_context_is_passed_over(service: ConversationService) -> None:
    rita, cora = new_person(), new_person("candidate")
    await service.meet(rita, cora)
    created = await service.create(rita, cora, "job-1", job_title="Welder")
    conversation = created.created.conversation.id
    await service.pool.execute(
        """UPDATE conversations SET context = context || '{"salary": "much"}' WHERE id = $1::text::uuid""",
        conversation,
    )

    [seen] = await service.get(cora, conversation)

    assert (seen.context.job_id, seen.context.job_title) == ("job-1", "Welder")
