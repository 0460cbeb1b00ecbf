"""Idempotency keys of starts: one key, one start, as long as its conversation lives."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from splits.chat.message.v1 import message_pb2

from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser
from tests.support.backing import MakeDatabase
from tests.support.conversation_svc import ConversationService, new_person, run_conversation_service
from tests.support.message_svc import MessageService
from tests.support.proxy import proxy_to
from tests.support.races import at_last

CONFLICT = message_pb2.REFUSAL_REASON_IDEMPOTENCY_CONFLICT
UNDELIVERABLE = message_pb2.REFUSAL_REASON_UNDELIVERABLE
REPLY_NOT_FOUND = message_pb2.REFUSAL_REASON_REPLY_NOT_FOUND


async def met(service: ConversationService, count: int = 1) -> list[ActingUser]:
    """A recruiter and so many candidates."""
    people = [new_person(), *(new_person("candidate") for _ in range(count))]
    await service.meet(*people)
    return people


async def keys(service: ConversationService, who: ActingUser) -> int:
    count: int = await service.pool.fetchval(
        "SELECT count(*) FROM start_keys WHERE user_id = $1", who.user_id
    )
    return count


async def test_a_repeat_is_led_to_its_conversation_and_its_message(
    service: ConversationService, messages: MessageService
) -> None:
    rita, cora = await met(service)
    created = await service.create(rita, cora, "job-1", key="k1", job_title="Welder")
    conversation = created.created.conversation.id

    for answer in (None, service.accept(cora, conversation), service.block(cora, rita)):
        if answer is not None:
            await answer
        again = await service.create(rita, cora, "job-1", key="k1", job_title="Welder")
        assert again.existing.id == conversation
        sent = await messages.send(rita.user_id, conversation, "first")
        assert sent.repeated.id == created.created.message.id
    assert await keys(service, rita) == 1


async def test_the_same_key_with_another_body_is_a_conflict(service: ConversationService) -> None:
    rita, cora, cleo = await met(service, 2)
    await service.create(rita, cora, "job-1", key="k1")

    for other in (
        service.create(rita, cleo, "job-1", key="k1"),
        service.create(rita, cora, "job-2", key="k1"),
        service.create(rita, cora, "job-1", text="other", key="k1"),
        service.create(rita, cora, "job-1", client_id="other", key="k1"),
        service.create(rita, new_person(), "job-1", key="k1"),
    ):
        assert (await other).refused.reason == CONFLICT
    assert (await service.create(rita, cleo, "job-1", key="k2")).WhichOneof("outcome") == "created"


async def test_a_key_is_its_persons_own(service: ConversationService) -> None:
    rita, cora = await met(service)
    ruth, cleo = await met(service)

    assert (await service.create(rita, cora, key="k1")).WhichOneof("outcome") == "created"
    assert (await service.create(ruth, cleo, key="k1")).WhichOneof("outcome") == "created"


async def test_a_refused_start_keeps_no_key(service: ConversationService) -> None:
    rita, cora, cleo = await met(service, 2)
    await service.block(cora, rita)

    assert (await service.create(rita, cora, key="k1")).refused.reason == UNDELIVERABLE
    with pytest.raises(ChatError) as refused:
        await service.create(rita, cora, key="k1", url="https://evil.example.com")
    assert refused.value.reason is Reason.VALIDATION_FAILED
    reply = await service.create(rita, cleo, key="k1", reply_to=str(uuid.uuid4()))
    assert reply.refused.reason == REPLY_NOT_FOUND
    assert await keys(service, rita) == 0

    assert (await service.create(rita, cleo, key="k1")).WhichOneof("outcome") == "created"


async def test_a_start_that_found_a_conversation_keeps_its_key_with_that(
    service: ConversationService,
) -> None:
    rita, cora = await met(service)
    conversation = await service.start(rita, cora, "job-1")

    found = await service.create(cora, rita, "job-2", key="c1")
    await service.accept(cora, conversation)
    again = await service.create(cora, rita, "job-2", key="c1")

    assert found.existing.id == again.existing.id == conversation  # without the key it would be a new one
    assert (await service.create(cora, rita, "job-3", key="c1")).refused.reason == CONFLICT


async def test_a_key_holds_where_the_pair_talks_already(service: ConversationService) -> None:
    rita, cora = await met(service)
    conversation = await service.start(rita, cora, "job-1")
    await service.accept(cora, conversation)

    for who, whom in ((rita, cora), (cora, rita)):
        found = await service.create(who, whom, "job-1", client_id="second", text="and?", key="k1")
        other = await service.create(who, whom, "job-1", client_id="second", text="other", key="k1")
        again = await service.create(who, whom, "job-1", client_id="second", text="and?", key="k1")

        assert found.existing.id == again.existing.id == conversation
        assert other.refused.reason == CONFLICT


async def test_a_refused_start_succeeds_under_its_key_once_the_cause_is_gone(
    service: ConversationService,
) -> None:
    rita, cora = await met(service)
    await service.block(cora, rita)
    assert (await service.create(rita, cora, key="k1")).refused.reason == UNDELIVERABLE

    await service.unblock(cora, rita)

    assert (await service.create(rita, cora, key="k1")).WhichOneof("outcome") == "created"


async def test_keys_are_what_the_contract_allows(service: ConversationService) -> None:
    rita, cora = await met(service)

    for key in ("x" * 256, "tab\t", "\u00e4"):
        with pytest.raises(ChatError) as refused:
            await service.create(rita, cora, key=key)
        assert [each.pointer for each in refused.value.violations] == ["/idempotencyKey"]
    assert (await service.create(rita, cora, key="~ " * 127)).WhichOneof("outcome") == "created"


async def test_a_start_that_was_cut_off_is_completed_under_its_key_and_forgotten_when_refused(
    make_database: MakeDatabase,
    redis_url: str,
    amqp_url: str,
    key_folder: Path,
    messages: MessageService,
) -> None:
    async with (
        proxy_to(f"tcp://{messages.target}") as peer,
        run_conversation_service(
            make_database,
            redis_url,
            amqp_url,
            key_folder,
            peer.url.removeprefix("tcp://"),
        ) as service,
    ):
        rita, cora, cleo, carl = await met(service, 3)
        await peer.cut()
        for candidate, key in ((cora, "k1"), (cleo, "k2")):
            with pytest.raises(ChatError) as refused:
                await service.create(rita, candidate, key=key)
            assert refused.value.reason is Reason.UNAVAILABLE
        assert (await service.create(rita, carl, key="k1")).refused.reason == CONFLICT
        await peer.heal()
        completed = await at_last(lambda: service.create(rita, cora, key="k1"))
        assert completed.created.message.seq == 1
        await at_last(lambda: service.block(cleo, rita))

        assert (await service.create(rita, cleo, key="k2")).refused.reason == UNDELIVERABLE
        assert (await service.create(rita, carl, key="k2")).WhichOneof("outcome") == "created"
