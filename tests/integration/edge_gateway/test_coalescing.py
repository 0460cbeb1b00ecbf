"""Sends of many people in one call to message_svc: each is answered as if it had been alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import UUID

import grpc
import pytest
import pytest_asyncio
from aiohttp import ClientSession
from google.protobuf.timestamp_pb2 import Timestamp
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind
from splits.chat.message.v1 import message_pb2 as message_pb
from splits.chat.message.v1 import service_pb2 as message_rpc

from edge_gateway.clients import Backends, Times, conversation_stub, message_stub, presence_stub
from edge_gateway.send_batches import Bounds
from servicekit import telemetry
from servicekit.errors import ChatError, Reason
from servicekit.grpc_client import ServiceClient
from servicekit.identity import ActingUser, current_caller
from tests.support.edge import Edge, ask, problem, run_edge
from tests.support.issuer import Issuer
from tests.support.keys import Keys
from tests.support.people import Reply
from tests.support.scripted import Scripted, serve_scripted
from tests.support.waiting import eventually


class Messages:
    """SendMessages of a message_svc that stores nothing; `pause` holds its answers back."""

    def __init__(self, keys: Keys) -> None:
        self._trust = keys.trust()
        self.calls: list[list[str]] = []
        self.pause = asyncio.Event()
        self.pause.set()

    async def answer(self, request: message_rpc.SendMessagesRequest, _user: ActingUser | None) -> Any:
        self.calls.append([each.message.text for each in request.sends])
        await self.pause.wait()
        return message_rpc.SendMessagesResponse(outcomes=[self._outcome(each) for each in request.sends])

    def _outcome(self, send: message_rpc.Send) -> message_rpc.SendOutcome:
        if send.message.text == "fault":
            return message_rpc.SendOutcome(fault=message_rpc.SendFault(code="unauthenticated"))
        if send.message.text == "pending":
            reason = message_pb.REFUSAL_REASON_REQUEST_PENDING
            return message_rpc.SendOutcome(refused=message_pb.Refusal(reason=reason))
        sender = self._trust.verify_assertion(send.acting_user, current_caller()).user_id
        stored = message_pb.Message(
            id=str(UUID(int=7)),
            client_message_id=send.message.client_message_id,
            conversation_id=send.conversation_id,
            seq=1,
            change_seq=1,
            sender_id=sender,
            kind=message_pb.MESSAGE_KIND_TEXT,
            text=send.message.text,
            created_at=Timestamp(seconds=1_800_000_000),
        )
        return message_rpc.SendOutcome(stored=stored)


@pytest_asyncio.fixture(loop_scope="session")
async def edge(keys: Keys, redis_url: str, issuer: Issuer) -> AsyncIterator[Edge]:
    async with run_edge(keys, redis_url, issuer, rate_send="off") as running:
        yield running


@pytest.fixture
def messages(keys: Keys, edge: Edge) -> Messages:
    script = Messages(keys)
    edge.services.answers["SendMessages"] = script.answer
    return script


def conversation(number: int) -> str:
    return str(UUID(int=number))


async def post(http: ClientSession, edge: Edge, number: int, text: str) -> Reply:
    body = {"clientMessageId": f"c-{number}", "text": text}
    token = edge.issuer.token(f"person_{number}")
    return await ask(
        http, edge, "POST", f"/v1/conversations/{conversation(number)}/messages", token=token, json=body
    )


async def together(http: ClientSession, edge: Edge, messages: Messages, texts: Sequence[str]) -> list[Reply]:
    """Sends all while two calls hang, and then lets the service answer."""
    messages.pause.clear()
    asked = []
    for held in (1, 2):
        asked.append(asyncio.create_task(post(http, edge, 1000 + held, "held")))
        await eventually(partial(_called, messages, held))
    asked += [asyncio.create_task(post(http, edge, each, text)) for each, text in enumerate(texts, start=1)]
    await eventually(lambda: _waiting(edge, len(texts)))
    messages.pause.set()
    return (await asyncio.gather(*asked))[2:]


async def _called(messages: Messages, times: int) -> bool:
    return len(messages.calls) >= times


async def _waiting(edge: Edge, number: int) -> bool:
    return edge.count("edge_sends_waiting") == number


async def test_each_gets_the_outcome_of_its_own_message(
    http: ClientSession, edge: Edge, messages: Messages
) -> None:
    texts = [f"text {number}" for number in range(40)]
    replies = await together(http, edge, messages, texts)
    for number, reply in enumerate(replies, start=1):
        assert reply.status == 201
        assert reply.body["text"] == texts[number - 1]
        assert reply.body["senderId"] == f"person_{number}"
        assert reply.body["clientMessageId"] == f"c-{number}"
        assert reply.body["conversationId"] == conversation(number)
    # The last two leave in one turn of the loop, and the service may begin the second of them first.
    assert sorted(len(call) for call in messages.calls) == [1, 1, 8, 32]
    assert edge.count("edge_sends_per_call_sum") == 42
    assert edge.count("edge_sends_per_call_count") == 4


async def test_a_refusal_or_a_fault_of_one_is_nobody_elses(
    http: ClientSession, edge: Edge, messages: Messages
) -> None:
    good, fault, pending, also_good = await together(
        http, edge, messages, ["good", "fault", "pending", "also good"]
    )
    assert (good.status, also_good.status) == (201, 201)
    assert problem(fault) == (503, "unavailable")
    assert problem(pending) == (409, "request_pending")
    assert len(messages.calls) == 3


async def test_a_service_that_is_away_for_a_moment_is_asked_again_for_all(
    http: ClientSession, edge: Edge, messages: Messages
) -> None:
    failures = iter([True, True])

    async def answer(request: message_rpc.SendMessagesRequest, user: ActingUser | None) -> Any:
        if len(request.sends) > 1 and next(failures, False):
            raise ChatError(Reason.UNAVAILABLE, "the database restarts")
        return await messages.answer(request, user)

    edge.services.answers["SendMessages"] = answer
    replies = await together(http, edge, messages, ["a", "b", "c"])
    assert [reply.status for reply in replies] == [201, 201, 201]
    assert next(failures, None) is None


async def test_a_service_that_stays_away_is_unavailable_for_all(
    keys: Keys, redis_url: str, issuer: Issuer, http: ClientSession
) -> None:
    nowhere = {"message_svc_target": "127.0.0.1:1", "request_timeout_ms": 1500}
    async with run_edge(keys, redis_url, issuer, **nowhere) as edge:
        replies = await asyncio.gather(*(post(http, edge, number, "hello") for number in range(1, 41)))
        assert {problem(reply) for reply in replies} == {(503, "unavailable")}


async def test_stopping_answers_what_waits(
    keys: Keys, redis_url: str, issuer: Issuer, http: ClientSession
) -> None:
    async with run_edge(keys, redis_url, issuer) as edge:
        messages = Messages(keys)
        edge.services.answers["SendMessages"] = messages.answer
        messages.pause.clear()
        asked = [asyncio.create_task(post(http, edge, number, "hello")) for number in range(1, 11)]
        await eventually(lambda: _called(messages, 1))
        stopping = asyncio.create_task(edge.app.stop())
        await asyncio.sleep(0)
        messages.pause.set()
        assert [reply.status for reply in await asyncio.gather(*asked)] == [201] * 10
        await stopping


@asynccontextmanager
async def backends(
    keys: Keys, message_svc: str | None = None
) -> AsyncIterator[tuple[Backends, Scripted, Messages]]:
    """The clients of an edge before scripted services. `message_svc`: the target of another one."""
    async with serve_scripted(keys) as (scripted, target):
        messages, signer = Messages(keys), keys.signer()
        scripted.answers["SendMessages"] = messages.answer
        running = Backends(
            ServiceClient(target, conversation_stub, signer),
            ServiceClient(message_svc or target, message_stub, signer),
            ServiceClient(target, presence_stub, signer),
            signer,
            Bounds(most=32, in_flight=1, waiting=100),
            Times(call_s=3, redact_s=3),
        )
        try:
            yield running, scripted, messages
        finally:
            await running.close()


async def send(to: Backends, number: int, where: str | None = None) -> message_rpc.SendOutcome:
    message = message_pb.NewMessage(client_message_id=f"c-{number}", text=f"text {number}")
    user = ActingUser(f"person_{number}", "candidate")
    with telemetry.tracer().start_as_current_span(f"request {number}"):
        return await to.send_message(user, where or conversation(number), message)


async def test_a_message_svc_of_the_release_before_is_called_as_it_was(keys: Keys) -> None:
    async def answer(request: message_rpc.SendMessagesRequest, _context: object) -> object:
        stored = [message_pb.Message(text=each.message.text) for each in request.sends]
        return message_rpc.SendMessagesResponse(
            outcomes=[message_rpc.SendOutcome(stored=each) for each in stored]
        )

    handler = grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=message_rpc.SendMessagesRequest.FromString,
        response_serializer=message_rpc.SendMessagesResponse.SerializeToString,
    )
    older = grpc.aio.server()
    older.add_registered_method_handlers("splits.chat.message.v1.MessageService", {"SendMessages": handler})
    port = older.add_insecure_port("127.0.0.1:0")
    await older.start()
    try:
        async with backends(keys, f"127.0.0.1:{port}") as (to, _, _):
            found = await asyncio.gather(*(send(to, number) for number in range(1, 4)))
            assert [outcome.stored.text for outcome in found] == ["text 1", "text 2", "text 3"]
    finally:
        await older.stop(None)


async def test_a_message_that_breaks_a_rule_of_the_contract_fails_alone(keys: Keys) -> None:
    async with backends(keys) as (to, _, messages):
        sent = [send(to, 1), send(to, 2, "no id"), send(to, 3), send(to, 4, "none either"), send(to, 5)]
        found = await asyncio.gather(*sent, return_exceptions=True)
        for number in (0, 2, 4):
            outcome = found[number]
            assert isinstance(outcome, message_rpc.SendOutcome)
            assert outcome.stored.text == f"text {number + 1}"
        for number in (1, 3):
            error = found[number]
            assert isinstance(error, ChatError)
            assert error.reason is Reason.VALIDATION_FAILED
            assert [each.pointer for each in error.violations] == ["/sends/0/conversationId"]
        assert messages.calls == [["text 1", "text 3", "text 5"]]


async def test_a_lone_send_is_part_of_its_requests_trace_and_a_shared_call_is_linked_to_each(
    keys: Keys, spans: list[ReadableSpan]
) -> None:
    async with backends(keys) as (to, _, _):
        await send(to, 1)
        lone = {span.kind: span for span in spans}
        client, request = lone[SpanKind.CLIENT], lone[SpanKind.INTERNAL]
        assert client.parent is not None
        assert client.parent.span_id == _context(request).span_id
        served = lone[SpanKind.SERVER].parent
        assert served is not None
        assert served.span_id == _context(client).span_id
        assert not client.links
        spans.clear()
        await asyncio.gather(*(send(to, number) for number in (2, 3, 4)))
        (shared,) = (span for span in spans if span.kind is SpanKind.CLIENT)
        requests = [span for span in spans if span.kind is SpanKind.INTERNAL]
        assert shared.parent is None
        assert {each.context.span_id for each in shared.links} == {
            _context(each).span_id for each in requests
        }
        for each in requests:
            assert [link.context.span_id for link in each.links] == [_context(shared).span_id]


def _context(span: ReadableSpan) -> Any:
    context = span.get_span_context()
    assert context is not None
    return context
