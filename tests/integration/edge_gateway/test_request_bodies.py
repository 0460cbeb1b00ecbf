"""Request bodies: nothing a client sends makes a 500."""

from __future__ import annotations

import gzip
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession

from tests.support.edge import Edge, ask, problem, say_raw
from tests.support.sockets import WHERE

MESSAGES = f"/v1/conversations/{WHERE}/messages"


BODIES: dict[str, tuple[bytes, str, int, str]] = {
    "malformed": (b'{"text":', "application/json", 400, "validation_failed"),
    "empty": (b"", "application/json", 400, "validation_failed"),
    "a list": (b"[]", "application/json", 400, "validation_failed"),
    "deep": (b'{"a":' * 10_000, "application/json", 400, "validation_failed"),
    "NaN": (b'{"text":NaN}', "application/json", 400, "validation_failed"),
    "a lone surrogate": (b'{"text":"\\ud800"}', "application/json", 400, "validation_failed"),
    "a NUL": (b'{"text":"a\\u0000","clientMessageId":"c"}', "application/json", 400, "validation_failed"),
    "null elements": (b'{"text":null,"clientMessageId":null}', "application/json", 400, "validation_failed"),
    "a number too big": (b'{"text":9223372036854775808,"clientMessageId":"c"}', "application/json", 400,
                         "validation_failed"),
    "65 KiB": (b'{"text":"' + b"x" * 66_560 + b'"}', "application/json", 413, "payload_too_large"),
    "1 MB of emoji": (orjson.dumps({"text": "😀" * 250_000}), "application/json", 413, "payload_too_large"),
    "plain text": (b"hello", "text/plain", 415, "unsupported_media_type"),
    "a form": (b"text=hello", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
    "multipart": (b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x", 415, "unsupported_media_type"),
    "another charset": (b"{}", "application/json; charset=utf-16", 415, "unsupported_media_type"),
    "no type": (b"{}", "", 415, "unsupported_media_type"),
}  # fmt: skip


@pytest.mark.parametrize("what", BODIES)
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_is_refused_that_is(http: ClientSession, edge: Edge, what: str, chunked: bool) -> None:
    data, content_type, status, code = BODIES[what]

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(data), 5000):
            yield data[at : at + 5000]

    headers = {"Content-Type": content_type} if content_type else {}
    body: Any = pieces() if chunked else data
    reply = await ask(
        http, edge, "POST", MESSAGES, headers=headers, data=body, skip_auto_headers=["Content-Type"]
    )
    if what == "no type":
        # Nothing declared: aiohttp, like a browser, means bytes.
        assert reply.status == 415
    assert problem(reply) == (status, code)


async def test_a_compressed_body_is_refused_without_being_unpacked(http: ClientSession, edge: Edge) -> None:
    bomb = gzip.compress(b'{"text":"' + b"x" * 20_000_000 + b'"}')
    started = time.perf_counter()
    for encoding in ("gzip", "deflate", "br", "x, gzip"):
        headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
        reply = await ask(http, edge, "POST", MESSAGES, headers=headers, data=bomb)
        assert problem(reply) == (415, "unsupported_media_type")
    assert time.perf_counter() - started < 60


async def test_a_body_that_nobody_asked_for_is_bounded_too(http: ClientSession, edge: Edge) -> None:
    path = f"/v1/conversations/{WHERE}/accept"
    reply = await ask(http, edge, "POST", path, data=b"x" * 70_000)
    assert problem(reply) == (413, "payload_too_large")


async def test_a_broken_chunk_is_a_bad_request(edge: Edge) -> None:
    token = edge.issuer.token()
    head = (
        f"POST {MESSAGES} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    answer = await say_raw(edge, head.encode() + b"zz\r\n{}\r\n")
    assert b" 400 " in answer.split(b"\r\n")[0]


async def test_a_client_that_asks_first_is_told_to_go_on(edge: Edge) -> None:
    token = edge.issuer.token()
    head = (
        f"POST {MESSAGES} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n"
    )
    assert (await say_raw(edge, head.format(10).encode())).startswith(b"HTTP/1.1 100 Continue")
    assert b" 413 " in (await say_raw(edge, head.format(70_000).encode())).split(b"\r\n")[0]


async def test_an_old_client_that_asks_first_is_told_nothing_before_its_answer(edge: Edge) -> None:
    head = (
        f"POST {MESSAGES} HTTP/1.0\r\nHost: x\r\nAuthorization: Bearer {edge.issuer.token()}\r\n"
        "Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert (await say_raw(edge, head.encode())).startswith(b"HTTP/1.0 400 ")  # to HTTP/1.0 a 100 is an answer


@pytest.mark.parametrize("coding", ["gzip, chunked", "Deflate ,chunked"])
async def test_a_body_that_is_compressed_on_its_way_is_refused_too(edge: Edge, coding: str) -> None:
    head = (
        f"POST {MESSAGES} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {edge.issuer.token()}\r\n"
        f"Content-Type: application/json\r\nTransfer-Encoding: {coding}\r\n\r\n"
    )
    answer = await say_raw(edge, head.encode() + b"2\r\n{}\r\n0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 415 ")


async def test_64_kib_are_a_body_and_one_byte_more_is_told_how_many_may_be(
    http: ClientSession, edge: Edge
) -> None:
    def body(size: int) -> bytes:
        return b'{"text":"' + b"x" * (size - len(b'{"text":""}')) + b'"}'

    async def pieces(data: bytes) -> AsyncIterator[bytes]:
        for at in range(0, len(data), 10_000):
            yield data[at : at + 10_000]

    headers = {"Content-Type": "application/json"}
    for size, status in ((64 * 1024, 400), (64 * 1024 + 1, 413)):
        for data in (body(size), pieces(body(size))):
            reply = await ask(http, edge, "POST", MESSAGES, headers=headers, data=data)
            assert problem(reply)[0] == status
            if status == 413:
                assert reply.body["detail"] == "A request body may have at most 65536 bytes."
