"""Edits raced against blocks, and redactions against every way to read a text (I5, I6)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import redis.asyncio as redis
from splits.chat.message.v1 import message_pb2 as pb
from splits.chat.message.v1 import service_pb2 as rpc

from message_svc.actions import redact_message
from servicekit.identity import ActingUser
from tests.support.gates import active_gate, member, new_conversation_id, new_people
from tests.support.message_svc import TIMEOUT, MessageService
from tests.support.races import (
    ROUNDS,
    ROUNDS_TO_CATCH,
    Aim,
    Round,
    at_last,
    pushes_acknowledged_unapplied,
    race,
)

SECRET = "a secret that was taken back"
# How far behind a lane is that is behind: more than a redaction takes, less than a body is published.
BEHIND_S = 0.2


async def edit(messages: MessageService, who: str, message: pb.Message, text: str) -> bool:
    """Whether the edit was taken."""
    client = messages.client()
    request = rpc.EditMessageRequest(
        conversation_id=message.conversation_id, message_id=message.id, text=text
    )
    response = await at_last(
        lambda: client.call(
            client.stub.EditMessage, request, timeout=TIMEOUT, acting=ActingUser(who, "recruiter")
        )
    )
    return response.HasField("message")


async def race_edits_against_pushes(messages: MessageService, rounds: int) -> list[Round]:
    """Each round opens the gate, lets two edit until they are refused, and shuts it in their midst."""
    ada, bob = new_people(2)
    conversation = new_conversation_id()
    opened = await messages.open(active_gate(conversation, 1, [ada, bob]), ada)
    own = {ada: opened.message, bob: (await messages.send(bob, conversation, "b")).stored}
    aim = Aim(5)
    results: list[Round] = []
    version = 1

    async def last_change() -> int:
        value: int = await messages.pool.fetchval(
            "SELECT last_change FROM gate WHERE id = $1", uuid.UUID(conversation)
        )
        return value

    for number in range(rounds):
        version += 2
        await at_last(lambda: messages.apply(active_gate(conversation, version - 1, [ada, bob])))  # noqa: B023 - awaited

        async def change(who: str, round_number: int = number) -> None:
            for attempt in range(30):
                if not await edit(messages, who, own[who], f"{round_number}-{attempt}"):
                    return

        async def push(gate_version: int = version) -> bool:
            shut = active_gate(
                conversation, gate_version, [member(one, can_send=False) for one in (ada, bob)]
            )
            held = await at_last(lambda: messages.apply(shut))
            return held[0].gate_version == gate_version

        writers = [lambda change=change: change(ada), lambda change=change: change(bob)]
        results.append(await race(last_change, writers, push, aim))
        if results[-1].violated:
            break
    return results


async def test_nothing_is_edited_after_a_shut_gate_was_acknowledged(messages: MessageService) -> None:
    results = await race_edits_against_pushes(messages, ROUNDS)

    assert len(results) == ROUNDS
    assert not [result for result in results if result.violated]
    assert results[-1].in_the_end > ROUNDS / 2  # the edits did get through before


async def test_the_check_catches_an_edit_after_a_push_that_was_only_acknowledged(
    messages: MessageService,
) -> None:
    with pushes_acknowledged_unapplied():
        results = await race_edits_against_pushes(messages, ROUNDS_TO_CATCH)

    assert results[-1].violated


class Readers:
    """Everybody who can get at a text: pages, changes, views, replays, and the person's channel."""

    def __init__(self, messages: MessageService, who: str, message: pb.Message) -> None:
        self._messages = messages
        self._who = ActingUser(who, "candidate")
        self._message = message

    async def read(self) -> str:
        """All that is read in one go, as text."""
        where, seq = self._message.conversation_id, self._message.seq
        asked: list[tuple[str, Any]] = [
            ("ListMessages", rpc.ListMessagesRequest(conversation_id=where)),
            ("ListChanges", rpc.ListChangesRequest(conversation_id=where)),
            ("GetMemberViews", rpc.GetMemberViewsRequest(conversation_ids=[where])),
            ("GetMessages", rpc.GetMessagesRequest(refs=[rpc.MessageRef(conversation_id=where, seq=seq)])),
        ]
        client = self._messages.client()
        answers = await asyncio.gather(
            *(
                client.call(getattr(client.stub, name), request, timeout=TIMEOUT, acting=self._who)
                for name, request in asked
            )
        )
        return "".join(map(str, answers))


async def race_redactions_against_reads(messages: MessageService, redis_url: str, rounds: int) -> list[str]:
    """Sends a text, takes it back at once, and collects what carries it after the answer."""
    ada, bob = new_people(2)
    conversation = new_conversation_id()
    await messages.open(active_gate(conversation, 1, [ada, bob]), ada)
    client = redis.Redis.from_url(redis_url)
    pubsub = client.pubsub()
    await pubsub.subscribe(f"u:{bob}")
    await pubsub.get_message(timeout=10)
    late: list[str] = []
    try:
        for number in range(rounds):
            sent = (await at_last(lambda: messages.send(ada, conversation, f"c{number}", SECRET))).stored  # noqa: B023 - awaited
            readers = Readers(messages, bob, sent)
            reading = [asyncio.ensure_future(readers.read()) for _ in range(2)]
            answer = await at_last(lambda: redact(messages, ada, sent))  # noqa: B023 - awaited
            assert answer.message.text == ""
            before = await _drain(pubsub)  # what was published before the answer
            if SECRET in await readers.read():
                late.append("a read")
            await asyncio.gather(*reading)
            after = await _drain(pubsub)
            for _ in range(60):
                if any(_tells_of(sent, frame) for frame in before + after):
                    break
                after += await _drain(pubsub, within=1.0)  # it is still to come
            else:
                raise AssertionError("the message was never told of")
            if any(SECRET.encode() in frame for frame in after):
                late.append("a frame")
            if late:
                break
    finally:
        await pubsub.aclose()  # type: ignore[no-untyped-call]
        await client.aclose()
    return late


async def redact(messages: MessageService, who: str, message: pb.Message) -> rpc.RedactMessageResponse:
    client = messages.client()
    request = rpc.RedactMessageRequest(conversation_id=message.conversation_id, message_id=message.id)
    return await client.call(
        client.stub.RedactMessage, request, timeout=TIMEOUT, acting=ActingUser(who, "recruiter")
    )


def _tells_of(message: pb.Message, frame: bytes) -> bool:
    """Whether it is the frame that says that the message was sent."""
    return b'"message.created"' in frame and message.id.encode() in frame


async def _drain(pubsub: redis.client.PubSub, *, within: float = 0.0) -> list[bytes]:
    """The frames that are there; the first may take `within` seconds to come."""
    seen: list[bytes] = []
    while (message := await pubsub.get_message(ignore_subscribe_messages=True, timeout=within)) is not None:
        seen.append(message["data"])
        within = 0.0
    return seen


@contextmanager
def redactions_answered_at_once() -> Iterator[None]:
    """A deliberately broken build: does not wait for those who publish the text."""

    async def at_once(*_: object) -> None:
        """Waits for nobody."""

    with patch.object(redact_message, "_until_unpublished", at_once):
        yield


async def test_no_read_or_publish_begun_after_a_redaction_carries_the_text(
    messages: MessageService, redis_url: str
) -> None:
    assert await race_redactions_against_reads(messages, redis_url, ROUNDS // 5) == []


async def test_the_check_catches_a_redaction_that_waits_for_nobody(
    messages: MessageService, redis_url: str
) -> None:
    publish = messages.app.outbox.publish_soon
    loop = asyncio.get_running_loop()

    def late(**events: Any) -> None:
        """A lane that is behind, as under load."""
        loop.call_later(BEHIND_S, lambda: publish(**events))

    with redactions_answered_at_once(), patch.object(messages.app.outbox, "publish_soon", late):
        found = await race_redactions_against_reads(messages, redis_url, ROUNDS_TO_CATCH)

    assert found == ["a frame"]


async def test_a_lane_that_is_behind_is_waited_for(messages: MessageService, redis_url: str) -> None:
    publish = messages.app.outbox.publish_soon
    loop = asyncio.get_running_loop()

    def late(**events: Any) -> None:
        loop.call_later(BEHIND_S, lambda: publish(**events))

    with patch.object(messages.app.outbox, "publish_soon", late):
        assert await race_redactions_against_reads(messages, redis_url, ROUNDS // 10) == []
