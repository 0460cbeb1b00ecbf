"""Who gets in: no call without a true caller, no acting user without a true assertion."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import grpc
import grpc_testing
import pytest
import pytest_asyncio
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from splits.chat.message.v1 import service_pb2 as rpc
from splits.chat.message.v1 import service_pb2_grpc

from servicekit.errors import UNAUTHENTICATED_MESSAGE, ChatError, Reason
from servicekit.identity import (
    ACTING_USER,
    SERVICE_TOKEN,
    ActingUser,
    Caller,
    acting_user,
    call_metadata,
    current_caller,
)
from tests.support.forgery import ASSERTIONS, SERVICE_TOKENS, USER, Forgery
from tests.support.keys import Keys
from tests.support.rpc import SERVICE, Served, calling, serving

METHODS = [method.name for method in descriptor_pool.Default().FindServiceByName(SERVICE).methods]
VERSIONS = rpc.GetGateVersionsRequest(conversation_ids=["01890000-0000-7000-8000-000000000000"])
CONVERSATION_SVC = "conversation_svc"
NO_MESSAGE = b"\xff\xff a body"


class Seen:
    """What the handler saw of the call."""

    caller: Caller | None = None
    user: ActingUser | None = None

    async def handle(self) -> rpc.GetUnreadResponse:
        self.caller = current_caller()
        try:
            self.user = acting_user()
        except ChatError:
            self.user = None
        return rpc.GetUnreadResponse()


seen = Seen()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def served(keys: Keys) -> AsyncIterator[Served]:
    async with serving(keys, seen.handle) as served:
        yield served


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def channel(served: Served) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(served.target) as channel:
        yield channel


Metadata = list[tuple[str, str | bytes]]


async def refusal(
    channel: grpc.aio.Channel, metadata: Metadata, method: str = "GetUnread", body: bytes = b""
) -> tuple[Any, ...]:
    """Everything a client can tell of a refused call."""
    ask = cast(Callable[..., Any], channel.unary_unary(f"/{SERVICE}/{method}"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(body, metadata=metadata, timeout=30)
    error = caught.value
    return error.code(), error.details(), tuple(error.trailing_metadata()), tuple(error.initial_metadata())


async def test_the_handler_sees_the_caller_and_the_person_it_acts_for(served: Served) -> None:
    async with calling(served.target, served.keys) as client:
        await client.call(client.stub.GetUnread, rpc.GetUnreadRequest(), timeout=30, acting=USER)
    assert (seen.caller, seen.user) == (Caller("edge_gateway", "edge"), USER)


async def test_an_assertion_made_earlier_may_be_passed_on_by_the_service_that_made_it(served: Served) -> None:
    made = served.keys.signer().assertion(USER)
    async with calling(served.target, served.keys) as client:
        await client.call(client.stub.GetUnread, rpc.GetUnreadRequest(), timeout=30, acting=made)
    assert seen.user == USER


async def test_an_assertion_that_the_rpc_does_not_ask_for_is_ignored(served: Served) -> None:
    async with calling(served.target, served.keys, CONVERSATION_SVC) as client:
        for acting in (USER, "rubbish"):
            await client.call(client.stub.GetGateVersions, VERSIONS, timeout=30, acting=acting)
            assert (seen.caller, seen.user) == (Caller(CONVERSATION_SVC, CONVERSATION_SVC), None)


@pytest.mark.parametrize("method", METHODS)
async def test_no_method_answers_without_a_caller_credential(channel: grpc.aio.Channel, method: str) -> None:
    code, details, _, _ = await refusal(channel, [], method)
    assert (code, details) == (grpc.StatusCode.UNAUTHENTICATED, UNAUTHENTICATED_MESSAGE)


@pytest.mark.parametrize("method", METHODS)
async def test_no_method_believes_user_metadata_of_an_unknown_caller(
    channel: grpc.aio.Channel, keys: Keys, method: str
) -> None:
    metadata: Metadata = [(ACTING_USER, keys.signer().assertion(USER)), ("x-user-id", "user_1")]
    assert await refusal(channel, metadata, method) == await refusal(channel, [], method)


@pytest.mark.parametrize("forgery", SERVICE_TOKENS.values(), ids=SERVICE_TOKENS)
async def test_a_forged_service_token_is_refused_exactly_like_none(
    channel: grpc.aio.Channel, keys: Keys, forgery: Forgery
) -> None:
    assertion = keys.signer().assertion(USER)
    forged: Metadata = [(SERVICE_TOKEN, forgery(keys)), (ACTING_USER, assertion)]
    assert await refusal(channel, forged) == await refusal(channel, [])


@pytest.mark.parametrize("forgery", ASSERTIONS.values(), ids=ASSERTIONS)
async def test_a_forged_assertion_is_refused_exactly_like_a_missing_caller(
    channel: grpc.aio.Channel, keys: Keys, forgery: Forgery
) -> None:
    forged: Metadata = [
        (SERVICE_TOKEN, keys.signer().service_token()),
        (ACTING_USER, forgery(keys)),
    ]
    assert await refusal(channel, forged) == await refusal(channel, [])


async def test_a_missing_assertion_is_refused_exactly_like_a_missing_caller(
    channel: grpc.aio.Channel, keys: Keys
) -> None:
    metadata: Metadata = [(SERVICE_TOKEN, keys.signer().service_token())]
    assert await refusal(channel, metadata) == await refusal(channel, [])


async def test_a_credential_given_twice_is_refused(channel: grpc.aio.Channel, keys: Keys) -> None:
    token, assertion = keys.signer().service_token(), keys.signer().assertion(USER)
    nothing = await refusal(channel, [])
    twice: Metadata = [(SERVICE_TOKEN, token), (SERVICE_TOKEN, token), (ACTING_USER, assertion)]
    assert await refusal(channel, twice) == nothing
    assert await refusal(channel, [(SERVICE_TOKEN, token), (ACTING_USER, assertion)] * 2) == nothing


async def test_a_true_caller_that_the_rpc_does_not_name_is_forbidden(served: Served) -> None:
    before = served.service.calls
    async with calling(served.target, served.keys) as client:
        with pytest.raises(ChatError) as caught:
            await client.call(client.stub.GetGateVersions, VERSIONS, timeout=30)
    assert caught.value.reason is Reason.FORBIDDEN
    assert served.service.calls == before


async def test_forbidden_is_permission_denied_on_the_wire(channel: grpc.aio.Channel, keys: Keys) -> None:
    metadata: Metadata = [(SERVICE_TOKEN, keys.signer("message_svc").service_token())]
    code, _, _, _ = await refusal(channel, metadata)
    assert code is grpc.StatusCode.PERMISSION_DENIED


async def test_a_stranger_learns_nothing_of_what_the_request_lacks(channel: grpc.aio.Channel) -> None:
    # Identity is checked before the request is: an empty ListMessages breaks a rule.
    code, _, _, _ = await refusal(channel, [], "ListMessages")
    assert code is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("method", METHODS)
async def test_a_stranger_is_refused_before_the_request_is_decoded(
    channel: grpc.aio.Channel, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    assert await refusal(channel, [], method, NO_MESSAGE) == await refusal(channel, [], method)
    assert "DecodeError" not in caplog.text


async def test_bytes_that_are_no_message_are_an_invalid_request(
    channel: grpc.aio.Channel, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    code, details, _, _ = await refusal(channel, call_metadata(keys.signer(), USER), body=NO_MESSAGE)  # type: ignore[arg-type]
    assert (code, details) == (grpc.StatusCode.INVALID_ARGUMENT, "The request cannot be read.")
    assert "DecodeError" not in caplog.text


async def test_a_method_that_does_not_exist_is_unimplemented(channel: grpc.aio.Channel) -> None:
    code, _, _, _ = await refusal(channel, [], "DropEverything")
    assert code is grpc.StatusCode.UNIMPLEMENTED


async def test_probes_get_health_without_credentials(channel: grpc.aio.Channel) -> None:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    for service in ("", SERVICE):
        response = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=30)
        assert response.status == health_pb2.HealthCheckResponse.SERVING


async def test_reflection_lists_the_services_unless_it_is_switched_off(
    channel: grpc.aio.Channel, keys: Keys
) -> None:
    async def ask(channel: grpc.aio.Channel) -> list[str]:
        requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        make_stub: Any = reflection_pb2_grpc.ServerReflectionStub
        return [
            service.name
            async for answer in make_stub(channel).ServerReflectionInfo(requests, timeout=30)
            for service in answer.list_services_response.service
        ]

    assert SERVICE in await ask(channel)
    async with (
        serving(keys, grpc_reflection=False) as quiet,
        grpc.aio.insecure_channel(quiet.target) as other,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(other)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_synchronous_client_signs_with_call_metadata(keys: Keys) -> None:
    service = descriptor_pool.Default().FindServiceByName(SERVICE)
    channel = grpc_testing.channel([service], grpc_testing.strict_real_time())
    call = service_pb2_grpc.MessageServiceStub(channel).GetUnread.future(
        rpc.GetUnreadRequest(), timeout=30, metadata=call_metadata(keys.signer(), USER)
    )
    metadata, _, sent = channel.take_unary_unary(service.methods_by_name["GetUnread"])
    given = dict(metadata)
    caller = keys.trust().verify_service(given[SERVICE_TOKEN])
    assert keys.trust().verify_assertion(given[ACTING_USER], caller) == USER
    sent.terminate(rpc.GetUnreadResponse(), (), grpc.StatusCode.OK, "")
    assert call.result() == rpc.GetUnreadResponse()
