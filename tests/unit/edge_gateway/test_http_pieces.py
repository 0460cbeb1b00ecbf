"""Requests of every framing, one behind the other and cut anywhere: each is answered, in order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping

import pytest

from edge_gateway.http.exchange import Exchange
from edge_gateway.http.front import Front
from edge_gateway.http.reading import read_body
from edge_gateway.http.reply import Reply
from edge_gateway.http.server import Bounds, HttpServer
from tests.support.doors import answer_of, end_of

_MAX_BODY = 65_536
_BOUNDS = Bounds(
    idle_s=60,
    linger_s=1,
    drain_s=1,
    max_header=4096,
    max_ahead=2048,
    max_body=_MAX_BODY,
    backlog=256,
)
_LARGE = 200_000
"""Bytes of some answers: more than a transport takes before it says so."""


def _request(name: str, chance: random.Random) -> tuple[bytes, str]:
    """One request, and how its answer begins."""
    head = f"/{name} HTTP/1.1\r\nHost: x\r\n"
    match chance.choice(["none", "empty", "short", "long", "chunked"]):
        case "none":
            return f"GET {head}\r\n".encode(), f"GET {name} 0"
        case "empty":
            return f"GET {head}Content-Length: 0\r\n\r\n".encode(), f"GET {name} 0"
        case "chunked":
            size = chance.randint(1, 5000)
            framed = f"{size:x}\r\n{'z' * size}\r\n0\r\n\r\n"
            return f"POST {head}Transfer-Encoding: chunked\r\n\r\n{framed}".encode(), f"POST {name} {size}"
        case kind:
            size = chance.randint(0, 50) if kind == "short" else chance.randint(3000, 60_000)
            return f"POST {head}Content-Length: {size}\r\n\r\n{'z' * size}".encode(), f"POST {name} {size}"


def _cut(said: bytes, chance: random.Random) -> Iterator[bytes]:
    at = 0
    while at < len(said):
        size = chance.choice([1, 3, 20, 100, 1000, 30_000, len(said)])
        yield said[at : at + size]
        at += size


async def _converse(port: int, chance: random.Random) -> None:
    """One connection: fails unless each of its requests is answered, and none other."""
    names = [f"{number}{chance.choice(['', '', '', '-large'])}" for number in range(chance.randint(1, 6))]
    requests, expected = zip(*(_request(name, chance) for name in names), strict=True)
    # The door reads what comes one by one, and takes what comes meanwhile for what is next.
    pieces = list(requests) if chance.random() < 0.5 else list(_cut(b"".join(requests), chance))
    half_closes = chance.random() < 0.3
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await answer_of(reader))[1] == b"GET first 0"  # it is accepted: pieces come as they are said

    async def say() -> None:
        for piece in pieces:
            writer.write(piece)
            for _ in range(chance.choice([0, 1, 2, 5, 20])):  # so many turns of the loop between the pieces
                await asyncio.sleep(0)
        if half_closes:
            writer.write_eof()

    saying = asyncio.create_task(say())
    answers = [(await answer_of(reader))[1].rstrip(b".").decode() for _ in expected]
    await saying
    assert answers == list(expected)
    if half_closes:
        assert await end_of(reader) == b""
    writer.close()


@pytest.mark.parametrize("seed", range(5))
async def test_each_request_is_answered_in_its_turn_however_it_comes(seed: int) -> None:
    chance = random.Random(seed)

    async def answer(exchange: Exchange, path: Mapping[str, str]) -> Reply:
        body = await read_body(exchange.request, _MAX_BODY, 60)
        for _ in range(chance.choice([0, 1, 10, 50])):
            await asyncio.sleep(0)
        name = path["name"]
        told = f"{exchange.request.method} {name} {len(body)}"
        return Reply(200, told.encode() + b"." * (_LARGE if name.endswith("large") else 0))

    front = Front([(method, "/{name}", answer) for method in ("GET", "POST")])
    server = HttpServer(front, "127.0.0.1", 0, _BOUNDS)
    port = await server.start()
    try:
        await asyncio.gather(*(_converse(port, random.Random(f"{seed} {each}")) for each in range(30)))
    finally:
        await server.stop()
