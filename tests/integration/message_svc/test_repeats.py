"""Whether a message was stored before: told by the table's key, or looked for."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta

import pytest
from splits.chat.message.v1 import message_pb2 as pb

from message_svc.actions.send_messages import Outcome, Repeats, RowFaultError, SendDeps, send_messages
from message_svc.domain import NewMessage, Placed, Refused, Repeated
from servicekit.clock import SystemClock
from servicekit.ids import new_id
from tests.support.gates import active_gate, member, new_conversation_id, new_people
from tests.support.message_svc import MessageService
from tests.support.plans import explained


@pytest.fixture
def service(either_way: MessageService) -> MessageService:
    return either_way


def new(conversation: str, sender: str, client_id: str, text: str = "hello") -> NewMessage:
    return NewMessage(
        id=new_id(),
        conversation_id=uuid.UUID(conversation),
        sender_id=sender,
        client_message_id=client_id,
        text=text,
        body_hash=text.encode(),
    )


async def opened(service: MessageService, *people: str | pb.Member) -> str:
    """An active conversation without a message."""
    conversation = new_conversation_id()
    await service.apply(active_gate(conversation, 1, people))
    return conversation


async def send(
    service: MessageService, repeats: Repeats, *sends: NewMessage
) -> tuple[Sequence[Outcome], bool]:
    """What became of a batch, and whether it looked for its messages among the stored ones."""
    async with explained(service.pool) as plans:
        app = service.app
        deps = SendDeps(app.pool, app.outbox, SystemClock(), repeats, app.gates, timedelta(minutes=1))
        decisions = await send_messages(deps, sends)
    return decisions, "find_duplicates" in {plan.name for plan in plans}


async def test_new_messages_are_stored_without_a_look(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation = await opened(service, ada, bob)

    decisions, looked = await send(
        service, Repeats(60.0), new(conversation, ada, "c1"), new(conversation, bob, "c1")
    )

    assert [type(decision) for decision in decisions] == [Placed, Placed]
    assert not looked


async def test_a_repeat_among_new_messages_is_answered_and_leaves_no_gap(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation, other = await opened(service, ada, bob), await opened(service, ada, bob)
    repeats = Repeats(60.0)
    (first,), _ = await send(service, repeats, new(conversation, ada, "c1"))

    decisions, looked = await send(
        service,
        repeats,
        new(other, bob, "c1"),
        new(conversation, ada, "c1"),
        new(conversation, ada, "c1", "something else"),
        new(conversation, ada, "c2"),
    )

    assert looked
    assert isinstance(first, Placed)
    assert decisions[1:3] == [Repeated(first.message), Refused.IDEMPOTENCY_CONFLICT]
    assert [d.message.seq for d in (decisions[0], decisions[3]) if isinstance(d, Placed)] == [1, 2]
    view = await service.view(bob, conversation)
    assert view is not None
    assert (view.last_seq, view.unread_count) == (2, 2)


@pytest.mark.parametrize(("last_s", "looks"), [(60.0, True), (0.0, False)])
async def test_after_a_repeat_batches_look_for_a_while(
    service: MessageService, last_s: float, looks: bool
) -> None:
    ada, bob = new_people(2)
    conversation, repeats = await opened(service, ada, bob), Repeats(last_s)
    for _ in range(2):
        await send(service, repeats, new(conversation, ada, "c1"))

    (decision,), looked = await send(service, repeats, new(conversation, ada, "c2"))

    assert isinstance(decision, Placed)
    assert looked is looks


async def test_a_repeat_of_somebody_who_may_write_no_more_is_found(service: MessageService) -> None:
    ada, bob = new_people(2)
    conversation, repeats = await opened(service, ada, bob), Repeats(60.0)
    (first,), _ = await send(service, repeats, new(conversation, ada, "c1"))
    assert isinstance(first, Placed)
    await service.apply(active_gate(conversation, 2, [member(ada, can_send=False), bob]))

    decisions, looked = await send(
        service, repeats, new(conversation, ada, "c1"), new(conversation, ada, "c2")
    )

    assert looked
    assert isinstance(decisions[0], Repeated)
    assert decisions[0].message.id == first.message.id
    assert decisions[1] is Refused.UNDELIVERABLE


@pytest.mark.parametrize("last_s", [60.0, 0.0])
async def test_neither_a_repeat_nor_a_row_that_postgres_refuses_harms_another(
    service: MessageService, last_s: float
) -> None:
    ada, bob = new_people(2)
    conversation, full = await opened(service, ada, bob), await opened(service, ada, bob)
    repeats = Repeats(last_s)
    await send(service, repeats, new(conversation, ada, "c1"), new(full, ada, "c1"))
    await service.pool.execute(
        "UPDATE member SET unread = 2147483647 WHERE conversation_id = $1 AND user_id = $2",
        uuid.UUID(full),
        bob,
    )

    decisions, _ = await send(
        service, repeats, new(conversation, ada, "c1"), new(full, ada, "c2"), new(conversation, ada, "c2")
    )

    assert [type(decision) for decision in decisions] == [Repeated, RowFaultError, Placed]
