"""Start, readiness, overload and an orderly end."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from splits.chat.conversation.v1 import service_pb2 as conversation_rpc
from splits.chat.message.v1 import service_pb2 as rpc
from splits.chat.message.v1 import service_pb2_grpc

from servicekit.errors import ChatError, Reason
from servicekit.grpc_server import GrpcServer
from servicekit.runner import StartError
from servicekit.settings import GrpcServerSettings
from tests.support.forgery import USER
from tests.support.keys import Keys
from tests.support.rpc import SERVICE, calling, make_server, serving, small_service
from tests.support.waiting import eventually

REQUEST = rpc.GetUnreadRequest()
CONVERSATIONS = conversation_rpc.DESCRIPTOR.services_by_name["ConversationService"].full_name
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Held:
    """A handler that answers once it is released."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.release = asyncio.Event()

    async def handle(self) -> rpc.GetUnreadResponse:
        self.started.set()
        await self.release.wait()
        return rpc.GetUnreadResponse()


def health_stub(channel: grpc.aio.Channel) -> Any:
    make: Any = health_pb2_grpc.HealthStub
    return make(channel)


async def test_draining_turns_health_off_and_lets_calls_in_work_finish(keys: Keys) -> None:
    held = Held()
    async with (
        serving(keys, held.handle, grpc_drain_seconds=60) as served,
        calling(served.target, keys) as client,
        grpc.aio.insecure_channel(served.target) as channel,
    ):
        watch = health_stub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        assert (await asyncio.wait_for(watch.read(), 30)).status == SERVING
        call = asyncio.ensure_future(client.call(client.stub.GetUnread, REQUEST, timeout=600, acting=USER))
        await asyncio.wait_for(held.started.wait(), 60)
        drain = asyncio.ensure_future(served.server.drain())
        assert (await asyncio.wait_for(watch.read(), 30)).status == NOT_SERVING
        watch.cancel()

        async def refused() -> bool:
            async with calling(served.target, keys) as late:
                try:
                    await late.call(late.stub.ListMessages, rpc.ListMessagesRequest(), timeout=5, acting=USER)
                except ChatError as error:
                    return error.reason is Reason.UNAVAILABLE
            return False

        await eventually(refused)
        assert not call.done()
        assert not drain.done()
        held.release.set()
        assert await call == rpc.GetUnreadResponse()
        await asyncio.wait_for(drain, 60)


async def test_calls_in_work_are_cut_off_when_the_drain_takes_too_long(keys: Keys) -> None:
    held = Held()
    async with (
        serving(keys, held.handle, grpc_drain_seconds=0.1) as served,
        calling(served.target, keys) as client,
    ):
        call = asyncio.ensure_future(client.call(client.stub.GetUnread, REQUEST, timeout=600, acting=USER))
        await asyncio.wait_for(held.started.wait(), 60)
        await asyncio.wait_for(served.server.drain(), 60)
        with pytest.raises(ChatError) as caught:
            await call
    assert caught.value.reason is Reason.UNAVAILABLE


async def test_a_port_that_is_taken_is_a_clear_error_and_not_shared_in_silence(keys: Keys) -> None:
    async with serving(keys) as served:
        second = make_server(served.service, keys, grpc_port=served.port)
        try:
            with pytest.raises(StartError, match=rf"127\.0\.0\.1:{served.port}"):
                await second.start()
        finally:
            await second.drain()


async def test_health_is_off_until_the_service_is_ready_and_stays_on(keys: Keys) -> None:
    asked, ready = 0, False

    async def check() -> None:
        nonlocal asked
        asked += 1
        if not ready:
            raise ConnectionError

    server = make_server(small_service(), keys, ready=check)
    port = await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:

            async def status() -> int:
                response = await health_stub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)
                return int(response.status)

            assert await status() == NOT_SERVING

            async def times() -> int:
                return asked

            await eventually(times, until=lambda count: count >= 2)
            assert await status() == NOT_SERVING
            ready = True
            await eventually(status, until=lambda value: value == SERVING)
    finally:
        await server.drain()


async def test_calls_beyond_the_bound_are_told_to_come_back_and_probes_still_pass(keys: Keys) -> None:
    held = Held()
    async with (
        serving(keys, held.handle, grpc_max_concurrent=1) as served,
        calling(served.target, keys) as client,
        grpc.aio.insecure_channel(served.target) as channel,
    ):
        first = asyncio.ensure_future(client.call(client.stub.GetUnread, REQUEST, timeout=600, acting=USER))
        await asyncio.wait_for(held.started.wait(), 60)
        with pytest.raises(ChatError) as caught:
            await client.call(client.stub.GetUnread, REQUEST, timeout=60, acting=USER)
        assert (caught.value.reason, caught.value.retry_after_ms) == (Reason.UNAVAILABLE, 1000)
        assert served.service.calls == 1
        response = await health_stub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
        assert response.status == SERVING
        held.release.set()
        await first
        await client.call(client.stub.GetUnread, REQUEST, timeout=60, acting=USER)


def test_a_server_refuses_services_that_are_not_named_and_names_without_a_service(keys: Keys) -> None:
    def build(names: list[str]) -> None:
        GrpcServer(
            settings=GrpcServerSettings(),
            trust=keys.trust(),
            add_servicers=lambda s: service_pb2_grpc.add_MessageServiceServicer_to_server(small_service(), s),
            service_names=names,
        )

    with pytest.raises(ValueError, match="but named"):
        build([])
    with pytest.raises(ValueError, match="but named"):
        build([SERVICE, CONVERSATIONS])
    with pytest.raises(ValueError, match="not a service of any imported contract"):
        build(["splits.chat.message.v1.Nonsense"])
    with pytest.raises(ValueError, match="declares no policy"):
        build(["grpc.health.v1.Health"])
    with pytest.raises(ValueError, match="streams"):
        build(["grpc.reflection.v1alpha.ServerReflection"])
