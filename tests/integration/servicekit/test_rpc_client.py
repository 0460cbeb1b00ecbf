"""Retries within a budget, replicas in turn, and a service that comes back."""

from __future__ import annotations

import asyncio

import pytest
from grpc_health.v1 import health_pb2_grpc
from splits.chat.message.v1 import service_pb2 as rpc

from deploy.local.program import grpc_serving
from servicekit.errors import ChatError, Reason
from servicekit.grpc_client import ServiceClient
from servicekit.runner import StartError
from tests.support.forgery import USER
from tests.support.keys import Keys
from tests.support.rpc import calling, make_server, serving, small_service
from tests.support.waiting import eventually

REQUEST = rpc.GetUnreadRequest()


class Flaky:
    """A handler that fails a number of times before it answers."""

    def __init__(self, error: ChatError, times: int) -> None:
        self.error = error
        self.times = times

    async def handle(self) -> rpc.GetUnreadResponse:
        self.times -= 1
        if self.times >= 0:
            raise self.error
        return rpc.GetUnreadResponse()


UNAVAILABLE = ChatError(Reason.UNAVAILABLE, "away")


async def test_an_idempotent_call_is_repeated_until_the_service_is_there(keys: Keys) -> None:
    async with serving(keys, Flaky(UNAVAILABLE, 2).handle) as served, calling(served.target, keys) as client:
        await client.call(client.stub.GetUnread, REQUEST, timeout=60, acting=USER, idempotent=True)
    assert served.service.calls == 3


async def test_a_call_that_is_not_idempotent_is_made_once(keys: Keys) -> None:
    async with serving(keys, Flaky(UNAVAILABLE, 2).handle) as served, calling(served.target, keys) as client:
        with pytest.raises(ChatError) as caught:
            await client.call(client.stub.GetUnread, REQUEST, timeout=60, acting=USER)
    assert caught.value.message == "away"
    assert served.service.calls == 1


@pytest.mark.parametrize("reason", [Reason.INTERNAL, Reason.RATE_LIMITED, Reason.NOT_FOUND])
async def test_only_unavailable_is_repeated(keys: Keys, reason: Reason) -> None:
    flaky = Flaky(ChatError(reason, "no"), 2)
    async with serving(keys, flaky.handle) as served, calling(served.target, keys) as client:
        with pytest.raises(ChatError) as caught:
            await client.call(client.stub.GetUnread, REQUEST, timeout=60, acting=USER, idempotent=True)
    assert caught.value.reason is reason
    assert served.service.calls == 1


async def test_attempts_are_bounded(keys: Keys) -> None:
    flaky = Flaky(UNAVAILABLE, 1000)
    async with serving(keys, flaky.handle) as served, calling(served.target, keys) as client:
        with pytest.raises(ChatError):
            await client.call(client.stub.GetUnread, REQUEST, timeout=60, acting=USER, idempotent=True)
    assert served.service.calls == 4


async def test_a_service_that_is_down_sees_the_budget_and_not_a_multiple_of_the_calls(keys: Keys) -> None:
    flaky = Flaky(UNAVAILABLE, 1_000_000)
    async with (
        serving(keys, flaky.handle) as served,
        calling(served.target, keys, retry_budget=0.1) as client,
    ):
        calls = [
            client.call(client.stub.GetUnread, REQUEST, timeout=60, acting=USER, idempotent=True)
            for _ in range(60)
        ]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, ChatError) for outcome in outcomes)
    # The bucket starts with ten and earns a tenth a call; without it there would be 240.
    assert 60 + 10 <= served.service.calls <= 60 + 10 + 6


async def test_a_wait_that_the_service_asks_for_is_not_cut_short(keys: Keys) -> None:
    flaky = Flaky(ChatError(Reason.UNAVAILABLE, "later", retry_after_ms=60_000), 1)
    async with serving(keys, flaky.handle) as served, calling(served.target, keys) as client:
        with pytest.raises(ChatError) as caught:
            await client.call(client.stub.GetUnread, REQUEST, timeout=30, acting=USER, idempotent=True)
    assert caught.value.retry_after_ms == 60_000
    assert served.service.calls == 1


async def test_replicas_take_turns_and_one_that_leaves_is_not_missed(keys: Keys) -> None:
    async with serving(keys) as one, serving(keys) as two:
        target = f"ipv4:{one.target},{two.target}"
        async with calling(target, keys) as client:

            async def ask() -> tuple[int, int]:
                await client.call(client.stub.GetUnread, REQUEST, timeout=60, acting=USER, idempotent=True)
                return one.service.calls, two.service.calls

            await eventually(ask, until=lambda calls: min(calls) > 0)
            one.service.calls = two.service.calls = 0
            for _ in range(10):
                await ask()
            assert (one.service.calls, two.service.calls) == (5, 5)
            await one.server.drain()
            for _ in range(10):
                await ask()
            assert two.service.calls == 15


async def test_a_service_that_comes_back_on_its_address_is_found_again(keys: Keys) -> None:
    async with serving(keys) as served:
        port, target = served.port, served.target
    async with calling(target, keys) as client:

        async def ask() -> Reason | None:
            try:
                await client.call(client.stub.GetUnread, REQUEST, timeout=30, acting=USER)
            except ChatError as error:
                return error.reason
            return None

        assert await ask() is Reason.UNAVAILABLE

        again = make_server(small_service(), keys, grpc_port=port)
        try:
            await again.start()
        except StartError:
            pytest.skip("somebody else has taken the port meanwhile")
        try:
            await eventually(ask, until=lambda failure: failure is None)
        finally:
            await again.drain()


async def test_a_name_is_resolved_to_its_addresses(keys: Keys) -> None:
    async with serving(keys) as served, calling(f"localhost:{served.port}", keys) as client:
        await client.call(client.stub.GetUnread, REQUEST, timeout=60, acting=USER)
    assert served.service.calls == 1


async def test_a_stub_that_streams_is_refused(keys: Keys) -> None:
    with pytest.raises(TypeError, match=r"Health/Watch streams"):
        ServiceClient("localhost:1", health_pb2_grpc.HealthStub, keys.signer())


async def test_a_web_proxy_that_the_environment_names_is_not_asked(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("grpc_proxy", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with serving(keys) as served, calling(served.target, keys) as client:
        assert await grpc_serving(served.target)()
        await client.call(client.stub.GetUnread, REQUEST, timeout=60, acting=USER)
    assert served.service.calls == 1
