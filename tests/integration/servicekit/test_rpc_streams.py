"""Calls that a stream carries are calls like any other: who may, for how long, how they fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from splits.chat.message.v1 import message_pb2 as message_pb
from splits.chat.message.v1 import service_pb2 as rpc

from servicekit import telemetry
from servicekit.errors import ChatError, Reason
from servicekit.grpc_client import ServiceClient
from servicekit.identity import SERVICE_TOKEN, call_metadata, current_caller
from servicekit.interceptors.deadline import remaining_seconds
from tests.support.keys import Keys
from tests.support.rpc import Served, calling, serving
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.rpc import Stub

SEND = rpc.Send(
    acting_user="x",
    conversation_id="01890a5d-ac96-774b-bcce-b302099a8057",
    message=message_pb.NewMessage(client_message_id="one", text="Hi"),
)


def asked(sends: Sequence[rpc.Send] = (SEND,)) -> rpc.StreamSendsRequest:
    return rpc.StreamSendsRequest(call=rpc.SendMessagesRequest(sends=sends))


async def send(client: ServiceClient[Stub], timeout: float = 60, *, idempotent: bool = False) -> None:
    response = await client.call(client.stub.StreamSends, asked(), timeout=timeout, idempotent=idempotent)
    assert response.HasField("answer")


class Seen:
    """A handler that notes what each call is told, fails with `error`, and answers once `release` is set."""

    def __init__(self, note: Callable[[], Any] = lambda: None) -> None:
        self.noted: list[Any] = []
        self.error: Exception | None = None
        self.release = asyncio.Event()
        self.release.set()
        self.in_work = self.cancelled = 0
        self._note = note

    async def handle(self) -> rpc.GetUnreadResponse:
        self.noted.append(self._note())
        self.in_work += 1
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_work -= 1
        if self.error is not None:
            raise self.error
        return rpc.GetUnreadResponse()


def raw(channel: grpc.aio.Channel) -> Any:
    """StreamSends without our client, of bytes."""
    return channel.stream_stream("/splits.chat.message.v1.MessageService/StreamSends")


async def test_calls_one_after_the_other_share_a_stream(keys: Keys) -> None:
    seen = Seen(lambda: current_caller().kind)
    async with serving(keys, seen.handle) as served, grpc.aio.insecure_channel(served.target) as channel:
        stream = raw(channel)(metadata=call_metadata(keys.signer("edge_gateway")))
        for _ in range(3):
            await stream.write(asked().SerializeToString())
            answer = rpc.StreamSendsResponse.FromString(await stream.read())
            assert answer.HasField("answer")
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
        assert await stream.code() is grpc.StatusCode.OK
    assert seen.noted == ["edge"] * 3


async def test_each_has_its_own_time_and_request(keys: Keys) -> None:
    seen = Seen(lambda: (telemetry.current_request_id(), remaining_seconds()))
    async with serving(keys, seen.handle) as served, calling(served.target, keys) as client:

        async def made_for(request_id: str | None, timeout: float) -> None:
            telemetry.bind_request_id(request_id)
            await send(client, timeout)

        # In tasks of their own: who binds a request id keeps it.
        await asyncio.create_task(made_for("first", 500))
        await asyncio.create_task(made_for(None, 40))
        await asyncio.create_task(made_for("third", 300))
    assert [request_id for request_id, _ in seen.noted] == ["first", None, "third"]
    for (_, left), timeout in zip(seen.noted, (500, 40, 300), strict=True):
        assert timeout - 30 < left <= timeout


async def test_a_call_that_fails_fails_alone(keys: Keys) -> None:
    seen = Seen()
    async with serving(keys, seen.handle) as served, calling(served.target, keys) as client:
        seen.error = ChatError(Reason.NOT_FOUND, "There is none.")
        with pytest.raises(ChatError, match="There is none") as refused:
            await send(client)
        assert refused.value.reason is Reason.NOT_FOUND
        seen.error = ZeroDivisionError()
        with pytest.raises(ChatError) as broken:
            await send(client)
        assert broken.value.reason is Reason.INTERNAL
        seen.error = None
        await send(client)


async def test_a_request_that_breaks_a_rule_is_told_as_of_the_call_itself(keys: Keys) -> None:
    bad = rpc.Send(acting_user="x", conversation_id="no id", message=SEND.message)
    async with serving(keys) as served, calling(served.target, keys) as client:
        for request in (asked([SEND, bad]), rpc.StreamSendsRequest()):
            with pytest.raises(ChatError) as refused:
                await client.call(client.stub.StreamSends, request, timeout=60)
            assert refused.value.reason is Reason.VALIDATION_FAILED
        assert served.service.calls == 0
        with pytest.raises(ChatError) as refused:
            await client.call(client.stub.StreamSends, asked([SEND, bad]), timeout=60)
        assert [each.pointer for each in refused.value.violations] == ["/sends/1/conversationId"]


async def test_bytes_that_are_no_request_are_refused(keys: Keys) -> None:
    async with serving(keys) as served, grpc.aio.insecure_channel(served.target) as channel:
        stream = raw(channel)(metadata=call_metadata(keys.signer("edge_gateway")))
        await stream.write(b"\xff\xff\xff")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stream.read()
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert served.service.calls == 0


async def test_who_may_not_call_may_not_stream(keys: Keys) -> None:
    async with serving(keys) as served:
        async with calling(served.target, keys, "conversation_svc") as other:
            with pytest.raises(ChatError) as refused:
                await send(other)
            assert refused.value.reason is Reason.FORBIDDEN
        async with grpc.aio.insecure_channel(served.target) as channel:
            for metadata in ((), ((SERVICE_TOKEN, "forged"),)):
                stream = raw(channel)(metadata=metadata)
                with pytest.raises(grpc.aio.AioRpcError) as nobody:  # whatever it would have carried
                    await stream.read()
                assert nobody.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert served.service.calls == 0


async def test_a_call_that_takes_too_long_is_given_up_on_both_sides(keys: Keys) -> None:
    seen = Seen()
    async with serving(keys, seen.handle) as served, calling(served.target, keys) as client:
        await send(client)
        seen.release.clear()
        with pytest.raises(ChatError) as late:
            await send(client, 0.3)
        assert late.value.reason is Reason.UNAVAILABLE
        await eventually(lambda: _value(seen.in_work), until=lambda in_work: in_work == 0)
        seen.release.set()
        await send(client)


async def test_a_caller_that_is_cancelled_cancels_its_call(keys: Keys) -> None:
    seen = Seen()
    async with serving(keys, seen.handle) as served, calling(served.target, keys) as client:
        seen.release.clear()
        call = asyncio.create_task(send(client))
        await eventually(lambda: _value(seen.in_work), until=lambda in_work: in_work == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await eventually(lambda: _value(seen.cancelled), until=lambda cancelled: cancelled == 1)
        seen.release.set()
        await send(client)


async def test_calls_at_the_same_time_do_not_wait_for_one_another(keys: Keys) -> None:
    seen = Seen()
    async with serving(keys, seen.handle) as served, calling(served.target, keys) as client:
        seen.release.clear()
        calls = [asyncio.create_task(send(client)) for _ in range(5)]
        await eventually(lambda: _value(seen.in_work), until=lambda in_work: in_work == 5)
        seen.release.set()
        await asyncio.gather(*calls)


async def test_too_many_calls_are_refused_whatever_carries_them(keys: Keys) -> None:
    seen = Seen()
    async with (
        serving(keys, seen.handle, grpc_max_concurrent=1) as served,
        calling(served.target, keys) as client,
    ):
        await send(client)
        seen.release.clear()
        first = asyncio.create_task(send(client))
        await eventually(lambda: _value(seen.in_work), until=lambda in_work: in_work == 1)
        with pytest.raises(ChatError) as refused:
            await send(client)
        assert (refused.value.reason, refused.value.retry_after_ms) == (Reason.UNAVAILABLE, 1000)
        seen.release.set()
        await first


async def test_a_drain_answers_the_call_in_work_and_does_not_wait_for_idle_streams(keys: Keys) -> None:
    seen = Seen()
    async with (
        serving(keys, seen.handle, grpc_drain_seconds=3600) as served,
        calling(served.target, keys) as client,
        calling(served.target, keys) as idle,
    ):
        await send(idle)
        seen.release.clear()
        call = asyncio.create_task(send(client))
        await eventually(lambda: _value(seen.in_work), until=lambda in_work: in_work == 1)
        drain = asyncio.create_task(served.server.drain())
        with pytest.raises(ChatError) as refused:
            await send(idle, 30)
        assert refused.value.reason is Reason.UNAVAILABLE
        assert not drain.done()
        seen.release.set()
        await asyncio.wait_for(call, 60)
        await asyncio.wait_for(drain, 60)


async def test_a_server_that_comes_back_is_found_again(keys: Keys) -> None:
    async with serving(keys) as first, calling(first.target, keys) as client:
        await send(client)
        await first.server.drain()
        async with serving(keys, grpc_port=first.port):
            await send(client, 60, idempotent=True)


async def _calls_until_stopped(served: Served, keys: Keys, answered: list[int]) -> None:
    async with calling(served.target, keys) as client:
        while True:
            try:
                await send(client, 30)
            except ChatError as error:
                assert error.reason is Reason.UNAVAILABLE  # noqa: PT017 - the end of this caller
                return
            answered[0] += 1


async def test_a_server_that_drains_among_many_calls_loses_no_answer(keys: Keys) -> None:
    """Every call is answered or refused so that it can be repeated; what is answered was done."""
    for _ in range(10):
        answered = [0]
        async with serving(keys, grpc_drain_seconds=3600) as served:
            callers = [asyncio.create_task(_calls_until_stopped(served, keys, answered)) for _ in range(8)]
            await eventually(lambda: _value(served.service.calls), until=lambda calls: calls >= 40)
            await asyncio.wait_for(served.server.drain(), 60)
            await asyncio.wait_for(asyncio.gather(*callers), 60)
            assert served.service.calls == answered[0]


async def _value(value: int) -> int:
    return value
