"""Every call has a deadline; it shrinks at each hop and ends the handler's work."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from splits.chat.message.v1 import service_pb2 as rpc
from splits.chat.message.v1 import service_pb2_grpc

from servicekit.errors import ChatError, Reason
from servicekit.identity import call_metadata
from servicekit.interceptors.deadline import remaining_seconds
from tests.support.forgery import USER
from tests.support.keys import Keys
from tests.support.rpc import calling, serving

REQUEST = rpc.GetUnreadRequest()


class Endless:
    """A handler that never answers and tells when it is cancelled."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()

    async def handle(self) -> rpc.GetUnreadResponse:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        raise AssertionError("unreachable")


async def test_a_call_without_a_deadline_gets_one_and_its_handler_is_cancelled(keys: Keys) -> None:
    endless = Endless()
    async with (
        serving(keys, endless.handle, grpc_default_deadline_seconds=2) as served,
        grpc.aio.insecure_channel(served.target) as channel,
    ):
        stub = service_pb2_grpc.MessageServiceStub(channel)
        call = stub.GetUnread(REQUEST, metadata=call_metadata(keys.signer(), USER))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(call, 60)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await asyncio.wait_for(endless.cancelled.wait(), 30)


async def test_the_handler_is_cancelled_when_the_clients_deadline_passes(keys: Keys) -> None:
    endless = Endless()
    async with serving(keys, endless.handle) as served, calling(served.target, keys) as client:
        # Connected first: setting up may take longer than the deadline of the call that counts.
        with pytest.raises(ChatError, match="not valid"):
            await client.call(client.stub.ListMessages, rpc.ListMessagesRequest(), timeout=60, acting=USER)
        with pytest.raises(ChatError) as caught:
            await client.call(client.stub.GetUnread, REQUEST, timeout=2, acting=USER, idempotent=True)
        assert caught.value.reason is Reason.UNAVAILABLE
        await asyncio.wait_for(endless.cancelled.wait(), 30)
    assert served.service.calls == 1, "a deadline is not a reason to try again"


async def test_a_call_made_inside_of_a_call_ends_with_it(keys: Keys) -> None:
    left: dict[str, float | None] = {}

    async def last() -> rpc.GetUnreadResponse:
        left["last"] = remaining_seconds()
        return rpc.GetUnreadResponse()

    async with serving(keys, last) as second, calling(second.target, keys) as inner:

        async def first() -> rpc.GetUnreadResponse:
            left["first"] = remaining_seconds()
            return await inner.call(inner.stub.GetUnread, REQUEST, timeout=3600, acting=USER)

        async with serving(keys, first) as served, calling(served.target, keys) as outer:
            await outer.call(outer.stub.GetUnread, REQUEST, timeout=60, acting=USER)
    assert left["first"] is not None
    assert left["last"] is not None
    # On the wire gRPC rounds a timeout up to three digits; the unit test of `budgeted` is exact.
    assert 0 < left["last"] <= left["first"] + 0.1
    assert left["first"] <= 60 + 0.1


async def test_a_shorter_timeout_of_its_own_still_counts(keys: Keys) -> None:
    left: list[float | None] = []

    async def last() -> rpc.GetUnreadResponse:
        left.append(remaining_seconds())
        return rpc.GetUnreadResponse()

    async with serving(keys, last) as second, calling(second.target, keys) as inner:

        async def first() -> rpc.GetUnreadResponse:
            return await inner.call(inner.stub.GetUnread, REQUEST, timeout=30, acting=USER)

        async with serving(keys, first) as served, calling(served.target, keys) as outer:
            await outer.call(outer.stub.GetUnread, REQUEST, timeout=600, acting=USER)
    assert left[0] is not None
    assert 0 < left[0] < 31  # gRPC rounds up what it tells a server


async def test_a_call_whose_time_is_over_is_not_made(keys: Keys) -> None:
    async with serving(keys) as served, calling(served.target, keys) as client:
        with pytest.raises(ChatError) as caught:
            await client.call(client.stub.GetUnread, REQUEST, timeout=0, acting=USER, idempotent=True)
    assert caught.value.reason is Reason.UNAVAILABLE
    assert served.service.calls == 0


def test_outside_of_a_call_no_time_is_measured() -> None:
    assert remaining_seconds() is None
