"""The door of `/ws/chat`: who is let in, and how the others are told."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession
from splits.chat.message.v1 import service_pb2 as message_rpc

from servicekit.errors import ChatError, Reason
from tests.support import contract
from tests.support.edge import PAGE, Edge, run_edge
from tests.support.issuer import Issuer, rsa_key
from tests.support.keys import Keys
from tests.support.rawsocket import RawSocket, frame
from tests.support.sockets import connect, enter, hold_welcomes, somebody
from tests.support.waiting import eventually


@pytest.mark.parametrize(
    "origin", ["null", "https://evil.example", f"{PAGE}.evil.example", "http://splits.example"]
)
async def test_a_foreign_page_is_refused_before_the_upgrade(edge: Edge, origin: str) -> None:
    headers = {"Origin": origin, "Sec-WebSocket-Protocol": f"chat.v1, bearer.{edge.issuer.token()}"}
    raw = await RawSocket.connect(f"{edge.url}/ws/chat", headers)
    assert raw.status == 403
    contract.check_problem(orjson.loads(raw.body))
    assert raw.headers["x-request-id"]


async def test_without_an_origin_only_a_header_lets_in(edge: Edge) -> None:
    bearer = {"Sec-WebSocket-Protocol": f"chat.v1, bearer.{edge.issuer.token()}"}
    assert (await RawSocket.connect(f"{edge.url}/ws/chat", bearer)).status == 403
    header = {"Authorization": f"Bearer {edge.issuer.token(somebody())}"}
    raw = await RawSocket.connect(f"{edge.url}/ws/chat", header)
    assert raw.status == 101
    assert "sec-websocket-protocol" not in raw.headers
    assert (await raw.json())["type"] == "system.welcome"


async def test_a_plain_request_is_no_handshake(edge: Edge, http: ClientSession) -> None:
    async with http.get(f"{edge.url}/ws/chat", headers={"Authorization": "Bearer x"}) as response:
        assert response.status == 400
        contract.check_problem(await response.json(content_type=None))


async def test_a_bad_token_is_told_by_a_code_and_one_that_is_over_by_another(edge: Edge) -> None:
    issuer = edge.issuer
    for token, code in (
        ("x", 4500),
        ("", 4500),
        (issuer.token(aud="other"), 4500),
        (issuer.sign(issuer.claims(), key=rsa_key()), 4500),
        (issuer.token(exp=int(time.time()) - 60), 4001),
    ):
        raw = await connect(edge, "", token=token)
        assert raw.status == 101
        assert await raw.close_code() == code
        raw.send(frame(b"", opcode=8))
        await raw.gone()


async def test_a_door_that_cannot_serve_says_so_before_the_upgrade(
    keys: Keys, redis_url: str, issuer: Issuer
) -> None:
    async with run_edge(keys, redis_url, issuer, max_sockets=1) as edge:

        def fails(_request: Any, _user: Any) -> None:
            raise ChatError(Reason.UNAVAILABLE, "no database")

        edge.services.answers["GetUnread"] = fails
        broken = await connect(edge, somebody())
        assert (broken.status, int(broken.headers["retry-after"]) >= 1) == (503, True)
        edge.services.answers["GetUnread"] = lambda _request, _user: message_rpc.GetUnreadResponse()
        first = await enter(edge, somebody())
        assert (await connect(edge, somebody())).status == 503
        first.abort()

        async def opened() -> bool:
            return (await connect(edge, somebody())).status == 101

        await eventually(opened)


async def test_frames_that_come_before_the_upgrade_are_taken_after_it_however_many(
    keys: Keys, redis_url: str, issuer: Issuer
) -> None:
    async with run_edge(keys, redis_url, issuer, rate_frames="off") as edge:
        asked, go_on = hold_welcomes(edge)
        host, port = edge.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = (
            f"GET /ws/chat HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {issuer.token(somebody())}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        # More than the HTTP server takes before it stops reading.
        frames = [
            frame(orjson.dumps({"type": "message.send", "id": f"{n}", "pad": "x" * 1500})) for n in range(200)
        ]
        writer.write(head.encode() + b"".join(frames[:-1]))
        await asked.wait()
        go_on.set()
        raw = RawSocket(reader, writer, 101, {})
        await reader.readuntil(b"\r\n\r\n")
        told = [await raw.json() for _ in range(201)]
        assert [each["type"] for each in told[:2]] == ["system.welcome", "system.caught_up"]
        assert [each["replyTo"] for each in told[2:]] == [f"{n}" for n in range(199)]
        writer.write(frames[-1])
        assert (await raw.json())["replyTo"] == "199"
        writer.close()
