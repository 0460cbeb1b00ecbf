"""Handshakes that do not come to an end: each is answered, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis.asyncio as redis
from structlog.testing import capture_logs

from servicekit.errors import ChatError, Reason
from servicekit.realtime import channel
from tests.support.edge import run_edge, say_raw
from tests.support.issuer import Issuer
from tests.support.keys import Keys
from tests.support.proxy import proxy_to
from tests.support.sockets import connect, enter, hold_welcomes, somebody
from tests.support.waiting import eventually


@contextmanager
def faults() -> Iterator[list[Any]]:
    """What is logged as an error, or is lost in a task that nobody waits for."""
    loop = asyncio.get_running_loop()
    found: list[Any] = []
    loop.set_exception_handler(lambda _loop, context: found.append(context))
    try:
        with capture_logs() as logs:
            yield found
            gc.collect()
        found += [each for each in logs if each["log_level"] in ("error", "critical")]
    finally:
        loop.set_exception_handler(None)


async def test_a_storm_that_the_services_refuse_is_answered_before_the_upgrade(
    keys: Keys, redis_url: str, issuer: Issuer, publisher: redis.Redis
) -> None:
    async with run_edge(keys, redis_url, issuer) as edge:
        people = [somebody() for _ in range(60)]
        reasons = itertools.cycle([Reason.UNAVAILABLE, Reason.RATE_LIMITED])

        def refuses(_request: Any, _user: Any) -> Any:
            raise ChatError(next(reasons), "overloaded", retry_after_ms=10_000)

        answers = edge.services.answers
        working = {name: answers[name] for name in ("GetUnread", "GetWatchList")}
        answers |= dict.fromkeys(working, refuses)
        with faults() as found:
            refused = await asyncio.gather(*(connect(edge, each) for each in people))
        assert {raw.status for raw in refused} <= {429, 503}
        assert {int(raw.headers["retry-after"]) for raw in refused} == {10}
        assert found == []
        assert edge.count("edge_sockets_open") == 0

        async def listened_to() -> int:
            counts = await publisher.pubsub_numsub(*(channel(each) for each in people))
            return sum(int(count) for _, count in counts)

        await eventually(listened_to, until=lambda count: count == 0)
        answers |= working
        assert (await enter(edge, people[0])).status == 101


async def test_a_client_that_goes_during_its_handshake_is_no_fault(
    keys: Keys, redis_url: str, issuer: Issuer
) -> None:
    async with run_edge(keys, redis_url, issuer) as edge:
        asked, go_on = hold_welcomes(edge)
        headers = {
            "Host": "edge",
            "Authorization": f"Bearer {edge.issuer.token(somebody())}",
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        with faults() as found:
            _, writer = await asyncio.open_connection("127.0.0.1", edge.app.port)
            writer.write(f"GET /ws/chat HTTP/1.1\r\n{head}\r\n".encode())
            await asked.wait()
            writer.transport.abort()
            await say_raw(
                edge, b"GET /livez HTTP/1.0\r\n\r\n"
            )  # by then the edge knows that the other is gone
            go_on.set()

            async def over() -> float:
                return edge.count("edge_handshakes_total", outcome="gone")

            await eventually(over)
            await say_raw(edge, b"GET /livez HTTP/1.0\r\n\r\n")
        assert found == []
        assert edge.count("edge_sockets_open") == 0


async def test_more_handshakes_than_may_be_in_work_are_refused_before_their_tokens_are_looked_at(
    keys: Keys, redis_url: str, issuer: Issuer
) -> None:
    async with run_edge(keys, redis_url, issuer, ws_max_connecting=2) as edge:
        _, go_on = hold_welcomes(edge)
        coming = [asyncio.create_task(connect(edge, somebody())) for _ in range(2)]

        async def in_work() -> int:
            return edge.services.calls.count("GetUnread")

        await eventually(in_work, until=lambda count: count == 2)
        refused = await connect(edge, "", token="no token at all")
        assert (refused.status, int(refused.headers["retry-after"]) >= 1) == (503, True)
        go_on.set()
        assert [(await each).status for each in coming] == [101, 101]
        assert (await enter(edge, somebody())).status == 101


async def test_a_handshake_that_is_under_way_when_a_drain_begins_is_refused(
    keys: Keys, redis_url: str, issuer: Issuer
) -> None:
    async with run_edge(keys, redis_url, issuer) as edge:
        asked, go_on = hold_welcomes(edge)
        coming = asyncio.create_task(connect(edge, somebody()))
        await asked.wait()
        stopping = asyncio.create_task(edge.app.stop())

        async def accepting() -> bool:
            return edge.app.ready()["accepting"]

        await eventually(accepting, until=lambda still: not still)
        go_on.set()
        assert (await coming).status == 503
        await stopping


async def test_a_redis_that_hangs_keeps_out_and_loses_no_fault(
    keys: Keys, redis_url: str, issuer: Issuer
) -> None:
    async with (
        proxy_to(redis_url) as proxy,
        run_edge(keys, proxy.url, issuer, request_timeout_ms=500, rate_connect="off") as edge,
    ):
        with faults() as found:
            proxy.freeze()
            assert (await connect(edge, somebody())).status == 503
            await proxy.cut()

            async def ready() -> bool:
                return all(edge.app.ready().values())

            await eventually(ready, until=lambda still: not still)
        assert found == []
