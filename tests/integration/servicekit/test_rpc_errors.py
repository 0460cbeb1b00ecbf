"""Errors cross gRPC intact, and what is not meant for clients does not cross at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import asyncpg
import grpc
import pytest
import pytest_asyncio
import redis.exceptions
from splits.chat.message.v1 import message_pb2 as pb
from splits.chat.message.v1 import service_pb2 as rpc
from splits.chat.message.v1 import service_pb2_grpc

from servicekit.errors import ChatError, Reason, Violation
from servicekit.grpc_client import ServiceClient
from servicekit.identity import call_metadata
from tests.support.forgery import USER
from tests.support.keys import Keys
from tests.support.rpc import Served, SmallService, calling, serving

if TYPE_CHECKING:
    from tests.support.rpc import Context, Stub

SECRET = "my private words"
REQUEST = rpc.GetUnreadRequest()
CONVERSATION = "01890000-0000-7000-8000-000000000000"


def new_message(client_id: str) -> pb.NewMessage:
    return pb.NewMessage(client_message_id=client_id, text="hello")


class Failing:
    """A handler that raises what the test says."""

    error: BaseException = Exception()

    async def handle(self) -> rpc.GetUnreadResponse:
        raise self.error


failing = Failing()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def served(keys: Keys) -> AsyncIterator[Served]:
    async with serving(keys, failing.handle) as served:
        yield served


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(served: Served) -> AsyncIterator[ServiceClient[Stub]]:
    async with calling(served.target, served.keys) as client:
        yield client


async def raised(client: ServiceClient[Stub], error: BaseException) -> ChatError:
    """What the client gets when the handler raises `error`."""
    failing.error = error
    with pytest.raises(ChatError) as caught:
        await client.call(client.stub.GetUnread, REQUEST, timeout=30, acting=USER)
    return caught.value


@pytest.mark.parametrize("reason", Reason)
async def test_every_reason_crosses_with_its_text(client: ServiceClient[Stub], reason: Reason) -> None:
    error = await raised(client, ChatError(reason, "Zoë may not, 100 %.\nReally."))
    assert (error.reason, error.message) == (reason, "Zoë may not, 100 %.\nReally.")
    assert (error.violations, error.retry_after_ms) == ((), None)


async def test_violations_and_the_time_to_wait_cross(client: ServiceClient[Stub]) -> None:
    violations = (
        Violation("/text", "string.max_len", "must be shorter"),
        Violation("/people/0/a~1b", "x", "é"),
    )
    sent = ChatError(Reason.RATE_LIMITED, "slow down", violations=violations, retry_after_ms=1250)
    error = await raised(client, sent)
    assert (error.violations, error.retry_after_ms, error.retryable) == (violations, 1250, True)


async def test_more_violations_than_metadata_can_hold_are_cut_and_not_the_call(
    client: ServiceClient[Stub],
) -> None:
    many = [
        Violation(f"/items/{n}/conversationId", "string.uuid", "must be a valid UUID") for n in range(9000)
    ]
    error = await raised(client, ChatError(Reason.VALIDATION_FAILED, "x" * 9000, violations=many))
    assert error.reason is Reason.VALIDATION_FAILED
    assert 10 < len(error.violations) < 100
    assert error.violations == tuple(many[: len(error.violations)])


async def test_an_uncaught_exception_is_internal_and_its_text_stays_here(
    client: ServiceClient[Stub], served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    error = await raised(client, KeyError(SECRET))
    assert error.reason is Reason.INTERNAL
    assert SECRET not in error.message
    async with grpc.aio.insecure_channel(served.target) as channel:
        stub = service_pb2_grpc.MessageServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetUnread(REQUEST, metadata=call_metadata(served.keys.signer(), USER), timeout=30)
    assert SECRET not in repr(caught.value) + repr(caught.value.trailing_metadata())
    output = capsys.readouterr()
    assert "handler failed" in output.out
    assert SECRET not in output.out + output.err


def postgres_error(kind: type[asyncpg.PostgresError]) -> asyncpg.PostgresError:
    return kind(SECRET)


@pytest.mark.parametrize(
    "error",
    [
        postgres_error(asyncpg.TooManyConnectionsError),
        postgres_error(asyncpg.LockNotAvailableError),
        postgres_error(asyncpg.QueryCanceledError),
        postgres_error(asyncpg.SerializationError),
        postgres_error(asyncpg.DeadlockDetectedError),
        postgres_error(asyncpg.AdminShutdownError),
        postgres_error(asyncpg.CannotConnectNowError),
        postgres_error(asyncpg.ConnectionDoesNotExistError),
        postgres_error(asyncpg.ReadOnlySQLTransactionError),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InterfaceError("pool is closing"),
        redis.exceptions.ConnectionError(SECRET),
        redis.exceptions.TimeoutError(SECRET),
        redis.exceptions.BusyLoadingError(SECRET),
        ConnectionRefusedError(SECRET),
        TimeoutError(SECRET),
        OSError(SECRET),
        ExceptionGroup(SECRET, [ConnectionResetError(SECRET), ExceptionGroup("", [TimeoutError()])]),
    ],
    ids=lambda error: f"{type(error).__name__}",
)
async def test_a_passing_fault_of_a_backing_service_is_unavailable(
    client: ServiceClient[Stub], error: Exception
) -> None:
    answer = await raised(client, error)
    assert (answer.reason, answer.retry_after_ms) == (Reason.UNAVAILABLE, 1000)
    assert SECRET not in answer.message


@pytest.mark.parametrize(
    "error",
    [
        postgres_error(asyncpg.UniqueViolationError),
        postgres_error(asyncpg.UndefinedTableError),
        asyncpg.InterfaceError("cannot perform operation: another operation is in progress"),
        asyncpg.DataError("invalid input for query argument"),
        FileNotFoundError(SECRET),
        ExceptionGroup(SECRET, [ConnectionResetError(), KeyError(SECRET)]),
        ZeroDivisionError(SECRET),
    ],
    ids=lambda error: f"{type(error).__name__}",
)
async def test_a_mistake_of_ours_is_internal(client: ServiceClient[Stub], error: Exception) -> None:
    answer = await raised(client, error)
    assert answer.reason is Reason.INTERNAL
    assert SECRET not in answer.message


async def test_a_typed_error_inside_a_task_group_stays_what_it_is(client: ServiceClient[Stub]) -> None:
    group = ExceptionGroup("", [ChatError(Reason.NOT_FOUND, "not here")])
    assert (await raised(client, group)).reason is Reason.NOT_FOUND


async def test_an_abort_of_the_handler_itself_passes_unchanged(keys: Keys) -> None:
    class Aborting(SmallService):
        async def GetUnread(self, request: rpc.GetUnreadRequest, context: Context) -> rpc.GetUnreadResponse:
            await context.abort(grpc.StatusCode.NOT_FOUND, "not here")

    kind: type[SmallService] = Aborting  # type: ignore[type-abstract]
    async with serving(keys, service=kind()) as served, calling(served.target, keys) as client:
        with pytest.raises(ChatError) as caught:
            await client.call(client.stub.GetUnread, REQUEST, timeout=30, acting=USER)
    assert caught.value.reason is Reason.NOT_FOUND


async def test_an_rpc_that_this_release_does_not_have_is_unavailable_to_the_caller(
    client: ServiceClient[Stub],
) -> None:
    with pytest.raises(ChatError) as caught:
        await client.call(
            client.stub.MarkRead,
            rpc.MarkReadRequest(conversation_id=CONVERSATION),
            timeout=30,
            acting=USER,
        )
    assert caught.value.reason is Reason.UNAVAILABLE


async def test_a_request_that_breaks_rules_names_each_field_by_a_json_pointer(
    client: ServiceClient[Stub], served: Served
) -> None:
    before = served.service.calls
    request = rpc.SendMessagesRequest(
        sends=[
            rpc.Send(acting_user="a", conversation_id="no uuid", message=new_message("a")),
            rpc.Send(acting_user="a", conversation_id=CONVERSATION),
            rpc.Send(conversation_id=CONVERSATION, message=new_message("a b")),
        ]
    )
    with pytest.raises(ChatError) as caught:
        await client.call(client.stub.SendMessages, request, timeout=30)
    assert caught.value.reason is Reason.VALIDATION_FAILED
    assert [(v.pointer, v.code) for v in caught.value.violations] == [
        ("/sends/0/conversationId", "string.uuid"),
        ("/sends/1/message", "required"),
        ("/sends/2/actingUser", "string.min_len"),
        ("/sends/2/message/clientMessageId", "string.pattern"),
    ]
    assert all(v.message for v in caught.value.violations)
    assert served.service.calls == before


async def test_a_request_beyond_the_size_limit_is_too_large(keys: Keys) -> None:
    async with (
        serving(keys, grpc_max_receive_bytes=2048) as served,
        calling(served.target, keys) as client,
    ):
        request = rpc.SendMessagesRequest(sends=[rpc.Send(acting_user="x" * 4096)])
        with pytest.raises(ChatError) as caught:
            await client.call(client.stub.SendMessages, request, timeout=30)
    assert caught.value.reason is Reason.PAYLOAD_TOO_LARGE


async def test_nobody_listening_is_unavailable(keys: Keys) -> None:
    async with serving(keys) as served:
        target = served.target
    async with calling(target, keys) as client:
        with pytest.raises(ChatError) as caught:
            await client.call(client.stub.GetUnread, REQUEST, timeout=30, acting=USER)
    assert caught.value.reason is Reason.UNAVAILABLE


async def test_a_closed_client_is_unavailable(served: Served) -> None:
    async with calling(served.target, served.keys) as client:
        pass
    with pytest.raises(ChatError) as caught:
        await client.call(client.stub.GetUnread, REQUEST, timeout=30, acting=USER)
    assert caught.value.reason is Reason.UNAVAILABLE


async def test_a_cancelled_caller_cancels_the_handler(keys: Keys) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def handle() -> rpc.GetUnreadResponse:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return rpc.GetUnreadResponse()

    async with serving(keys, handle) as served, calling(served.target, keys) as client:
        call = asyncio.ensure_future(client.call(client.stub.GetUnread, REQUEST, timeout=600, acting=USER))
        await asyncio.wait_for(started.wait(), 30)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(cancelled.wait(), 30)
