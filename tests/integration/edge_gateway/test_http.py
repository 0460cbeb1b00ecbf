"""HTTP as such: what every answer carries, and who may ask."""

from __future__ import annotations

import orjson
import pytest
from aiohttp import ClientSession
from opentelemetry.sdk.trace import ReadableSpan

from tests.support import contract
from tests.support.edge import PAGE, Edge, ask, problem, run_edge, say_raw
from tests.support.issuer import Issuer, hs256, public_pem, rsa_key, unsigned
from tests.support.keys import Keys
from tests.support.sockets import WHERE

MESSAGES = f"/v1/conversations/{WHERE}/messages"


async def test_every_answer_carries_its_request_and_its_trace(http: ClientSession, edge: Edge) -> None:
    for path, status in (("/v1/me", 200), ("/nowhere", 404), ("/docs", 200)):
        reply = await ask(http, edge, "GET", path, headers={"X-Request-Id": "my-id_1.2"})
        assert reply.status == status
        assert reply.headers["X-Request-Id"] == "my-id_1.2"
        assert len(reply.headers["traceparent"]) == 55
    for strange in ("with space", "x" * 65, "<script>"):
        reply = await ask(http, edge, "GET", "/v1/me", headers={"X-Request-Id": strange})
        assert reply.headers["X-Request-Id"] != strange


async def test_a_callers_trace_goes_on_to_the_services(
    http: ClientSession, edge: Edge, spans: list[ReadableSpan]
) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    reply = await ask(http, edge, "GET", "/v1/me", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    assert reply.headers["traceparent"].split("-")[1] == trace
    names = {span.name for span in spans if span.context and f"{span.context.trace_id:032x}" == trace}
    assert {"GET /v1/me", "splits.chat.message.v1.MessageService/GetUnread"} <= names


async def test_an_allowed_page_may_read_answers_and_no_other(http: ClientSession, edge: Edge) -> None:
    allowed = await ask(http, edge, "GET", "/v1/me", headers={"Origin": PAGE})
    assert allowed.headers["Access-Control-Allow-Origin"] == PAGE
    assert "X-Request-Id" in allowed.headers["Access-Control-Expose-Headers"]
    refused = await ask(http, edge, "GET", "/v1/me", token="", headers={"Origin": PAGE})
    assert refused.headers["Access-Control-Allow-Origin"] == PAGE
    for origin in ("https://evil.example", "null", f"{PAGE}.evil.example"):
        other = await ask(http, edge, "GET", "/v1/me", headers={"Origin": origin})
        assert "Access-Control-Allow-Origin" not in other.headers
        assert other.headers["Vary"] == "Origin"


async def test_a_preflight_says_what_is_allowed_to_whom(http: ClientSession, edge: Edge) -> None:
    wants = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}
    reply = await ask(http, edge, "OPTIONS", "/v1/blocks/ada", token="", headers={"Origin": PAGE, **wants})
    assert (reply.status, reply.raw) == (204, b"")
    assert reply.headers["Access-Control-Allow-Methods"] == "DELETE, PUT"
    assert "Authorization" in reply.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in reply.headers
    evil = {"Origin": "https://evil.example", **wants}
    assert problem(await ask(http, edge, "OPTIONS", "/v1/me", token="", headers=evil)) == (403, "forbidden")


async def test_what_is_not_there_is_not_found_and_another_method_not_allowed(
    http: ClientSession, edge: Edge
) -> None:
    for path in (
        "/",
        "/v1",
        "/v1/",
        "/v1/me/",
        "/v2/me",
        "/v1/notices",
        "/metrics",
        "/readyz",
        "/%ff",
        "/v1//me",
    ):
        assert problem(await ask(http, edge, "GET", path)) == (404, "not_found")
    reply = await ask(http, edge, "DELETE", "/v1/me")
    assert problem(reply) == (405, "method_not_allowed")
    assert reply.headers["Allow"] == "GET, HEAD"
    head = await ask(http, edge, "HEAD", "/v1/me")
    assert (head.status, head.raw) == (200, b"")


def forgeries(issuer: Issuer) -> dict[str, str]:
    claims = issuer.claims()
    return {
        "none": "",
        "garbage": "x",
        "expired": issuer.token(exp=claims["iat"] - 60),
        "foreign issuer": issuer.token(iss="https://evil.example"),
        "foreign audience": issuer.token(aud="x"),
        "alg none": unsigned({"alg": "none", "kid": issuer.kid}, claims) + ".",
        "key as secret": hs256({"kid": issuer.kid}, claims, public_pem(issuer.key)),
        "foreign key": issuer.sign(claims, key=rsa_key()),
        "unknown kid": issuer.sign(claims, kid="x"),
        "role": issuer.token(role="admin"),
    }


async def test_every_bad_token_has_one_and_the_same_answer(http: ClientSession, edge: Edge) -> None:
    answers = set()
    for token in forgeries(edge.issuer).values():
        reply = await ask(http, edge, "GET", "/v1/me", token=token)
        assert problem(reply) == (401, "unauthenticated")
        kept = {name: value for name, value in reply.headers.items() if name.lower() not in _VARYING}
        answers.add((reply.without_request_id(), tuple(sorted(kept.items()))))
    assert len(answers) == 1
    for scheme in ("Basic abc", "bearer", "Bearer", "Token x"):
        reply = await ask(http, edge, "GET", "/v1/me", token="", headers={"Authorization": scheme})
        assert problem(reply) == (401, "unauthenticated")


_VARYING = {"date", "x-request-id", "traceparent"}


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"HELLO\r\n\r\n",
        b"GET /v1/me HTTP/9.9\r\n\r\n",
        b"GET /v1/me HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n",
        b"GET /v1/me HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /v1/me HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 40_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_a_problem_too(edge: Edge, request_bytes: bytes) -> None:
    answer = await say_raw(edge, request_bytes)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 400 " in head.split(b"\r\n")[0]
    contract.check_problem(orjson.loads(body))


async def test_odd_queries_are_answered(http: ClientSession, edge: Edge) -> None:
    for query in (
        "limit=0",
        "limit=x",
        "folder=trash",
        "cursor=x",
        "cursor=%ff",
        "limit=%00",
        "cursor=" + "A" * 3000,
    ):
        reply = await ask(http, edge, "GET", f"/v1/conversations?{query}")
        assert problem(reply) == (400, "validation_failed")
        assert reply.body["errors"][0]["pointer"] in ("/limit", "/folder", "/cursor")


async def test_operators_have_a_port_of_their_own(http: ClientSession, edge: Edge) -> None:
    async def operators(path: str) -> tuple[int, str]:
        async with http.get(f"{edge.ops_url}{path}") as response:
            return response.status, await response.text()

    assert await operators("/livez") == (200, "ok")
    assert await operators("/readyz") == (200, '{"redis":true,"access":true,"accepting":true}')
    await ask(http, edge, "GET", "/v1/me")
    status, text = await operators("/metrics")
    assert status == 200
    assert 'edge_http_requests_total{method="GET",route="/v1/me",status="200"}' in text
    assert WHERE not in text
    assert (await operators("/v1/me"))[0] == 404


async def test_the_documents_are_public_and_cached(http: ClientSession, edge: Edge) -> None:
    for path in ("/openapi.json", "/asyncapi.json", "/docs"):
        reply = await ask(http, edge, "GET", path, token="")
        assert reply.status == 200
        again = await ask(http, edge, "GET", path, token="", headers={"If-None-Match": reply.headers["ETag"]})
        assert (again.status, again.raw) == (304, b"")
    assert orjson.loads((await ask(http, edge, "GET", "/openapi.json", token="")).raw)["openapi"] == "3.1.0"


async def test_the_demo_is_served_only_where_it_is_enabled(
    keys: Keys, redis_url: str, issuer: Issuer, http: ClientSession, edge: Edge
) -> None:
    for path in ("/", "/demo/"):
        assert (await ask(http, edge, "GET", path, token="")).status == 404
    async with run_edge(
        keys, redis_url, issuer, demo_enabled=True, demo_issuer_url="http://127.0.0.1:9"
    ) as demo:
        for path in ("/", "/demo"):
            page = await ask(http, demo, "GET", path, token="")
            assert page.status == 200
        assert "script-src" not in page.headers["Content-Security-Policy"]
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]
        config = await ask(http, demo, "GET", "/demo/config.json", token="")
        assert config.body == {"issuerUrl": "http://127.0.0.1:9"}
        for path in (
            "/demo/../settings.py",
            "/demo/%2e%2e/settings.py",
            "/demo/..%2fsettings.py",
            "/demo/x.js",
        ):
            assert (await ask(http, demo, "GET", path, token="")).status == 404
