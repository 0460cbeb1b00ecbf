"""SendMessages over real gRPC and Postgres."""

from __future__ import annotations

import uuid

import pytest
from splits.chat.message.v1 import message_pb2 as pb
from splits.chat.message.v1 import service_pb2 as rpc

from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser
from tests.support.gates import active_gate, member, new_conversation_id, new_people
from tests.support.message_svc import TIMEOUT, MessageService
from tests.support.waiting import eventually


@pytest.fixture
def service(either_way: MessageService) -> MessageService:
    return either_way


async def opened(service: MessageService, *people: str) -> str:
    """An active conversation with one message of the first person."""
    conversation = new_conversation_id()
    response = await service.open(active_gate(conversation, 1, people), people[0])
    assert response.message.seq == 1
    return conversation


async def test_a_message_is_stored_exactly_as_sent_and_takes_the_next_number(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = await opened(service, ada, bob)
    text = " \u202e\u200d\u0301\U0001f9d1\u200d\U0001f680 <b>\r\n\t'; -- \u0001"

    outcome = await service.send(bob, conversation, "c1", text)

    assert outcome.stored.seq == 2
    assert outcome.stored.change_seq == 2
    assert outcome.stored.text == text
    assert (
        await service.pool.fetchval(
            "SELECT text FROM message WHERE conversation_id = $1 AND seq = 2", uuid.UUID(conversation)
        )
        == text
    )


async def test_a_repeat_answers_with_the_stored_message_and_stores_nothing(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = await opened(service, ada, bob)

    first = await service.send(bob, conversation, "c1")
    again = await service.send(bob, conversation, "c1")

    assert again.repeated == first.stored
    view = await service.view(ada, conversation)
    assert view is not None
    assert (view.last_seq, view.unread_count) == (2, 1)


async def test_the_same_client_id_with_another_body_is_a_conflict(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = await opened(service, ada, bob)
    await service.send(bob, conversation, "c1")

    outcome = await service.send(bob, conversation, "c1", "something else")

    assert outcome.refused.reason == pb.REFUSAL_REASON_IDEMPOTENCY_CONFLICT


async def test_a_client_id_belongs_to_its_sender(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = await opened(service, ada, bob)

    outcomes = [await service.send(who, conversation, "same") for who in (ada, bob)]

    assert [outcome.stored.seq for outcome in outcomes] == [2, 3]


async def test_a_batch_decides_each_message_for_itself_and_in_its_order(service: MessageService) -> None:
    ada, bob, eve = new_people(3)
    one, two = await opened(service, ada, bob), await opened(service, bob, ada)
    muzzled = new_conversation_id()
    await service.open(active_gate(muzzled, 1, [ada, bob]), ada)
    await service.apply(active_gate(muzzled, 2, [member(ada, can_send=False), bob]))

    outcomes = await service.send_batch(
        service.new_send(ada, one, "a1"),
        service.new_send(eve, one, "e1"),
        service.new_send(bob, two, "b1"),
        service.new_send(ada, one, "a1"),
        service.new_send(ada, one, "a1", "other"),
        service.new_send(ada, muzzled, "m1"),
        service.new_send(bob, one, "b1"),
        service.new_send(ada, new_conversation_id(), "x1"),
    )

    assert [outcome.WhichOneof("outcome") for outcome in outcomes] == [
        "stored",
        "refused",
        "stored",
        "repeated",
        "refused",
        "refused",
        "stored",
        "refused",
    ]
    assert outcomes[0].stored.seq == 2
    assert outcomes[3].repeated == outcomes[0].stored
    assert outcomes[6].stored.seq == 3
    reasons = [outcomes[index].refused.reason for index in (1, 4, 5, 7)]
    assert reasons == [
        pb.REFUSAL_REASON_NOT_FOUND,
        pb.REFUSAL_REASON_IDEMPOTENCY_CONFLICT,
        pb.REFUSAL_REASON_UNDELIVERABLE,
        pb.REFUSAL_REASON_NOT_FOUND,
    ]
    view = await service.view(bob, one)
    assert view is not None
    assert view.unread_count == 2


async def test_an_item_with_a_bad_assertion_harms_no_other(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = await opened(service, ada, bob)
    forged = rpc.Send(
        acting_user="not.a.token",
        conversation_id=conversation,
        message=pb.NewMessage(client_message_id="f", text="forged"),
    )
    foreign = service.signer("conversation_svc").assertion(ActingUser(bob, "recruiter"))

    outcomes = await service.send_batch(
        forged,
        service.new_send(bob, conversation, "b1"),
        rpc.Send(
            acting_user=foreign,
            conversation_id=conversation,
            message=pb.NewMessage(client_message_id="g", text="another caller's assertion"),
        ),
    )

    assert outcomes[0].fault.code == outcomes[2].fault.code == "unauthenticated"
    assert outcomes[1].stored.seq == 2


async def test_an_item_that_postgres_refuses_harms_no_other(service: MessageService) -> None:
    ada, bob = new_people(2)
    full, other = await opened(service, ada, bob), await opened(service, ada, bob)
    await service.pool.execute(
        "UPDATE member SET unread = 2147483647 WHERE conversation_id = $1 AND user_id = $2",
        uuid.UUID(full),
        bob,
    )

    outcomes = await service.send_batch(
        service.new_send(ada, other, "c1"),
        service.new_send(ada, full, "c2"),
        service.new_send(ada, other, "c3"),
    )

    assert [outcome.WhichOneof("outcome") for outcome in outcomes] == ["stored", "fault", "stored"]
    assert [outcomes[index].stored.seq for index in (0, 2)] == [2, 3]
    view = await service.view(bob, full)
    assert view is not None
    assert (view.last_seq, view.change_seq) == (1, 1)


async def test_whoever_impersonates_may_not_write(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = await opened(service, ada, bob)
    actor = ActingUser(bob, "recruiter", impersonator="support_1")

    outcome = (
        await service.send_batch(
            rpc.Send(
                acting_user=service.signer("edge_gateway").assertion(actor),
                conversation_id=conversation,
                message=pb.NewMessage(client_message_id="i", text="as if by bob"),
            )
        )
    )[0]

    assert outcome.refused.reason == pb.REFUSAL_REASON_FORBIDDEN


@pytest.mark.parametrize(
    ("client_id", "text", "pointer"),
    [
        ("", "x", "/sends/0/message/clientMessageId"),
        ("a b", "x", "/sends/0/message/clientMessageId"),
        ("a" * 65, "x", "/sends/0/message/clientMessageId"),
        ("c", "", "/sends/0/message/text"),
        ("c", "x" * 8001, "/sends/0/message/text"),
        ("c", "nul\0", "/sends/0/message/text"),
    ],
)
async def test_a_message_beyond_its_limits_is_refused_with_its_pointer(
    service: MessageService, client_id: str, text: str, pointer: str
) -> None:
    ada, bob = new_people(2)
    conversation = await opened(service, ada, bob)

    with pytest.raises(ChatError) as caught:
        await service.send(ada, conversation, client_id, text)

    assert caught.value.reason is Reason.VALIDATION_FAILED
    assert {violation.pointer for violation in caught.value.violations} == {pointer}


async def test_the_largest_message_is_stored(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = await opened(service, ada, bob)

    outcome = await service.send(bob, conversation, "big", "\U0001f600" * 8000)

    assert outcome.stored.seq == 2


async def test_only_the_edge_and_internal_services_may_send(service: MessageService) -> None:
    client = service.client("conversation_svc")
    request = rpc.SendMessagesRequest(sends=[service.new_send("u", new_conversation_id(), "c")])

    with pytest.raises(ChatError) as caught:
        await client.call(client.stub.SendMessages, request, timeout=TIMEOUT)

    assert caught.value.reason is Reason.FORBIDDEN


async def test_nothing_is_owed_once_a_message_was_published(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = await opened(service, ada, bob)
    await service.send(bob, conversation, "c1")

    async def owed() -> int:
        count: int = await service.pool.fetchval(
            "SELECT (SELECT count(*) FROM outbox_realtime WHERE conversation_id = $1)"
            " + (SELECT count(*) FROM outbox_bus WHERE subject = $1::text)",
            uuid.UUID(conversation),
        )
        return count

    await eventually(owed, until=lambda count: count == 0)
