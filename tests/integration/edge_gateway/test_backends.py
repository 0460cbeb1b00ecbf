"""What the edge does with the services behind it, and with their faults."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from aiohttp import ClientSession

from servicekit.errors import ChatError, Reason
from tests.support import contract
from tests.support.edge import Edge, ask, problem, run_edge
from tests.support.issuer import Issuer
from tests.support.keys import Keys
from tests.support.scripted import never
from tests.support.sockets import WHERE

MESSAGES = f"/v1/conversations/{WHERE}/messages"


async def test_a_profile_is_told_once_and_again_when_it_changed(http: ClientSession, edge: Edge) -> None:
    def told() -> int:
        return edge.services.calls.count("SyncProfile")

    before = told()
    first = edge.issuer.token("newcomer")
    await asyncio.gather(*(ask(http, edge, "GET", "/v1/me", token=first) for _ in range(10)))
    await ask(http, edge, "GET", "/v1/me", token=edge.issuer.token("newcomer", sid="session-2"))
    assert told() == before + 1
    renamed = await ask(http, edge, "GET", "/v1/me", token=edge.issuer.token("newcomer", name="New Name"))
    assert told() == before + 2
    assert renamed.body["user"]["displayName"] == "New Name"


async def test_a_profile_that_cannot_be_told_is_unavailable_and_tried_again(
    keys: Keys, redis_url: str, issuer: Issuer, http: ClientSession
) -> None:
    async with run_edge(keys, redis_url, issuer) as edge:
        working = edge.services.answers.pop("SyncProfile")

        def fails(_request: Any, _user: Any) -> None:
            raise ChatError(Reason.UNAVAILABLE, "no database")

        edge.services.answers["SyncProfile"] = fails
        reply = await ask(http, edge, "GET", "/v1/me")
        assert problem(reply) == (503, "unavailable")
        assert int(reply.headers["Retry-After"]) >= 1
        edge.services.answers["SyncProfile"] = working
        assert (await ask(http, edge, "GET", "/v1/me")).status == 200


async def test_an_impersonator_may_look_and_not_touch(http: ClientSession, edge: Edge) -> None:
    token = edge.issuer.token("watched", act={"sub": "support_7"})
    before = edge.services.calls.count("SyncProfile")
    seen = await ask(http, edge, "GET", "/v1/me", token=token)
    assert (seen.status, seen.body["user"]["id"]) == (200, "watched")
    contract.check_schema("Me", seen.body)
    for method, path in (("POST", MESSAGES), ("PUT", "/v1/blocks/ada"), ("DELETE", "/v1/blocks/ada")):
        assert problem(await ask(http, edge, method, path, token=token)) == (403, "forbidden")
    assert edge.services.calls.count("SyncProfile") == before


async def test_a_service_that_does_not_answer_is_unavailable_in_time(
    keys: Keys, redis_url: str, issuer: Issuer, http: ClientSession
) -> None:
    async with run_edge(keys, redis_url, issuer, request_timeout_ms=400) as edge:
        edge.services.answers["GetUnread"] = lambda _request, _user: never()
        started = time.perf_counter()
        reply = await ask(http, edge, "GET", "/v1/me")
        assert problem(reply) == (503, "unavailable")
        assert time.perf_counter() - started < 20
        assert reply.body["retryAfterMs"] > 0


async def test_services_that_are_away_are_unavailable(
    keys: Keys, redis_url: str, issuer: Issuer, http: ClientSession
) -> None:
    nowhere = {"conversation_svc_target": "127.0.0.1:1", "message_svc_target": "127.0.0.1:1"}
    async with run_edge(keys, redis_url, issuer, request_timeout_ms=1000, **nowhere) as edge:
        assert problem(await ask(http, edge, "GET", "/v1/me")) == (503, "unavailable")


async def test_keys_that_were_never_had_are_unavailable(
    keys: Keys, redis_url: str, issuer: Issuer, http: ClientSession
) -> None:
    issuer.fault = "down"
    try:
        async with run_edge(keys, redis_url, issuer) as edge:
            assert problem(await ask(http, edge, "GET", "/v1/me")) == (503, "unavailable")
    finally:
        issuer.fault = None


@pytest.mark.parametrize(
    ("reason", "status", "code"),
    [
        (Reason.INTERNAL, 500, "internal"),
        (Reason.UNAUTHENTICATED, 503, "unavailable"),
        (Reason.NOT_FOUND, 404, "not_found"),
        (Reason.RATE_LIMITED, 429, "rate_limited"),
    ],
)
async def test_what_a_service_says_of_an_error_stays_inside(
    http: ClientSession, edge: Edge, reason: Reason, status: int, code: str
) -> None:
    def fails(_request: Any, _user: Any) -> None:
        raise ChatError(reason, "the secret of row 7")

    edge.services.answers["ListMessages"] = fails
    reply = await ask(http, edge, "GET", MESSAGES)
    assert problem(reply) == (status, code)
    assert b"secret" not in reply.raw
