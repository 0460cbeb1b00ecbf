"""However a request comes, and whatever comes before or behind it: it ends the same way."""

from __future__ import annotations

import asyncio
import re

import orjson
import pytest
from splits.chat.conversation.v1 import service_pb2 as conversation_rpc
from splits.chat.message.v1 import service_pb2 as message_rpc

from tests.support import contract
from tests.support.edge import PAGE, Edge, run_edge
from tests.support.issuer import Issuer
from tests.support.keys import Keys
from tests.support.sockets import WHERE, somebody, stored_message

_KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def _handshake(edge: Edge, *, origin: str = PAGE, path: str = "/ws/chat", more: str = "") -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nOrigin: {origin}\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {_KEY}\r\n{more}"
        f"Sec-WebSocket-Protocol: chat.v1, bearer.{edge.issuer.token(somebody())}\r\n\r\n"
    ).encode()


class _Connection:
    """One connection with its answers, one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, edge: Edge) -> _Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", edge.app.port))

    async def answer(self, *, has_body: bool = True) -> tuple[int, str, bytes]:
        """Status, head and body. `has_body`: unless its head alone was asked for."""
        async with asyncio.timeout(30):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            length = re.search(r"(?i)\r\ncontent-length: *(\d+)", head)
            body = await self.reader.readexactly(int(length[1])) if length and has_body else b""
        return int(head.split()[1]), head, body

    async def is_let_in(self) -> None:
        """Fails unless the next answer is an upgrade with a welcome."""
        status, head, _ = await self.answer()
        assert status == 101
        assert "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
        async with asyncio.timeout(30):
            assert b"system.welcome" in await self.reader.readuntil(b"}")
        self.writer.close()

    async def say(self, request: bytes, cut: int) -> None:
        """In two pieces, so that the HTTP server has to read it; at once when `cut` is 0."""
        if cut:
            self.writer.write(request[:cut])
            await self.writer.drain()
            for _ in range(20):  # the edge has its turns on this loop: it reads what is there
                await asyncio.sleep(0)
        self.writer.write(request[cut:] if cut else request)


@pytest.mark.parametrize("path", ["/ws/chat", "/ws/chat?cursor="])
@pytest.mark.parametrize("cut", [0, 3, 12, 60, -2])
async def test_a_head_in_pieces_is_let_in(edge: Edge, path: str, cut: int) -> None:
    came, request = await _Connection.open(edge), _handshake(edge, path=path)
    await came.say(request, cut)
    await came.is_let_in()


_MESSAGES = f"/v1/conversations/{WHERE}/messages"
_JSON = "Content-Type: application/json"
_HELLO = b'{"clientMessageId":"c","text":"hello"}'
_REQUESTS: dict[str, tuple[str, list[str], bytes]] = {
    "a read": ("GET /v1/me", [], b""),
    "a read with a query": ("GET /v1/conversations?limit=x&limit=1", [], b""),
    "a read with a body": ("GET /v1/me", [_JSON], b"{}"),
    "its head alone": ("HEAD /v1/me", [], b""),
    "a page": ("GET /v1/me", [f"Origin: {PAGE}"], b""),
    "a send": (f"POST {_MESSAGES}", [_JSON], _HELLO),
    "a send with an old type": (
        f"POST {_MESSAGES}",
        ['content-type: Application/JSON; charset="UTF-8"'],
        _HELLO,
    ),
    "a send of plain text": (f"POST {_MESSAGES}", ["Content-Type: text/plain"], _HELLO),
    "a send of nothing in particular": (f"POST {_MESSAGES}", [], _HELLO),
    "a send without a body": (f"POST {_MESSAGES}", [_JSON], b""),
    "a send of broken JSON": (f"POST {_MESSAGES}", [_JSON], b"{"),
    "a send of wrong fields": (f"POST {_MESSAGES}", [_JSON], b'{"text":1}'),
    "a compressed send": (f"POST {_MESSAGES}", [_JSON, "Content-Encoding: gzip"], _HELLO),
    "a send as long as may be": (f"POST {_MESSAGES}", [_JSON], b'{"text":1}'.ljust(65_536)),
    "a send too long": (f"POST {_MESSAGES}", [_JSON], b'{"text":1}'.ljust(65_537)),
    "a change without a body": ("PUT /v1/blocks/bob", [], b""),
    "a change with a body nobody reads": ("PUT /v1/blocks/bob", [], b"x" * 100),
    "a change that a service refuses": ("DELETE /v1/blocks/bob", [], b""),
    "an unknown conversation": ("GET /v1/conversations/x/messages", [], b""),
    "an odd path": ("GET /v1/%ff?%zz=%ff", [], b""),
    "no such path": ("GET /nowhere", [], b""),
    "no such method": ("PATCH /v1/me", [], b""),
    "an unheard of method": ("PROPFIND /v1/me", [], b""),
    "options": ("OPTIONS /v1/me", [], b""),
    "a preflight": ("OPTIONS /v1/me", [f"Origin: {PAGE}", "Access-Control-Request-Method: GET"], b""),
    "a strange preflight": (
        "OPTIONS /v1/me",
        ["Origin: https://x", "Access-Control-Request-Method: GET"],
        b"",
    ),
    "no token": ("GET /v1/me", ["Authorization: no"], b""),
    "a document": ("GET /docs", [], b""),
    "a document's head": ("HEAD /docs", [], b""),
    "no upgrade": ("GET /ws/chat", [], b""),
}


@pytest.mark.parametrize("what", _REQUESTS)
async def test_what_is_read_at_the_door_is_answered_as_what_the_server_reads(edge: Edge, what: str) -> None:
    sent = message_rpc.SendOutcome(stored=stored_message(1))
    edge.services.answers["SendMessages"] = lambda request, _user: message_rpc.SendMessagesResponse(
        outcomes=[sent for _ in request.sends]
    )
    edge.services.answers["PutBlock"] = lambda _request, _user: conversation_rpc.PutBlockResponse()
    line, more, body = _REQUESTS[what]
    length = [f"Content-Length: {len(body)}"] if body or line.startswith(("POST", "PUT", "PATCH")) else []
    trace = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
    token = [] if what == "no token" else [f"Authorization: Bearer {edge.issuer.token(somebody())}"]
    head = [f"{line} HTTP/1.1", "Host: x", "X-Request-Id: mine", trace, *more, *token, *length, "", ""]
    request = "\r\n".join(head).encode("latin-1") + body
    answers = []
    for cut in (0, 20):
        came = await _Connection.open(edge)
        told = []
        for _ in range(2):  # of a connection that has been answered before, too
            await came.say(request, cut)
            status, found, text = await came.answer(has_body=not line.startswith("HEAD"))
            told.append((status, _CHANGING.sub("", found), text))
        answers.append(told)
        came.writer.close()
    assert answers[0] == answers[1]


_CHANGING = re.compile(r"(?m)^(Date|RateLimit|traceparent): .*$")


async def test_what_is_refused_leaves_the_connection_to_the_next(edge: Edge) -> None:
    came = await _Connection.open(edge)
    # In one piece: the second stands behind the head of the first.
    came.writer.write(
        _handshake(edge, origin="https://evil.example") + b"GET /v1/me HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    status, head, body = await came.answer()
    assert (status, "\r\nServer: splits-chat\r\n" in head, "\r\nDate: " in head) == (403, True, True)
    contract.check_problem(orjson.loads(body))
    status, _, body = await came.answer()
    assert status == 401
    contract.check_problem(orjson.loads(body))
    came.writer.write(_handshake(edge))
    await came.is_let_in()


_BODIES = [
    ("Content-Length: 5\r\n", b"hello"),
    ("Content-Length: 150000\r\n", b"a" * 150_000),
    ("Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
]


@pytest.mark.parametrize(("length", "body"), _BODIES, ids=["short", "long", "chunked"])
async def test_a_refused_handshake_with_a_body_is_answered_as_any(
    edge: Edge, length: str, body: bytes
) -> None:
    came = await _Connection.open(edge)
    came.writer.write(_handshake(edge, origin="https://evil.example", more=length) + body)
    status, _, told = await came.answer()
    assert status == 403
    contract.check_problem(orjson.loads(told))
    came.writer.close()


@pytest.mark.parametrize(
    ("ordinary", "closing"), [("HTTP/1.1", "HTTP/1.0"), ("Connection: Upgrade", "Connection: Upgrade, close")]
)
async def test_who_asks_for_the_end_of_the_connection_gets_it(
    edge: Edge, ordinary: str, closing: str
) -> None:
    came = await _Connection.open(edge)
    refused = _handshake(edge, origin="https://evil.example")
    came.writer.write(refused.replace(ordinary.encode(), closing.encode()))
    status, _, _ = await came.answer()
    assert status == 403
    async with asyncio.timeout(30):
        assert await came.reader.read() == b""
    came.writer.close()


@pytest.mark.parametrize("cut", [0, 20])
@pytest.mark.parametrize(("ordinary", "other"), [(b"GET", b"HEAD"), (b"HTTP/1.1", b"HTTP/1.0")])
async def test_a_handshake_of_another_method_or_version_is_none(
    edge: Edge, ordinary: bytes, other: bytes, cut: int
) -> None:
    came = await _Connection.open(edge)
    await came.say(_handshake(edge).replace(ordinary, other), cut)
    status, _, _ = await came.answer(has_body=other != b"HEAD")
    assert status == 400
    came.writer.close()


@pytest.mark.parametrize(("length", "body"), _BODIES, ids=["short", "long", "chunked"])
async def test_a_handshake_with_a_body_is_none(edge: Edge, length: str, body: bytes) -> None:
    came = await _Connection.open(edge)
    came.writer.write(_handshake(edge, more=length) + body)
    status, _, told = await came.answer()
    assert status == 400
    contract.check_problem(orjson.loads(told))
    came.writer.close()


@pytest.mark.parametrize("origin", [PAGE, "https://evil.example"])
@pytest.mark.parametrize("chunked", [True, False])
async def test_the_body_of_a_refused_handshake_is_no_request(edge: Edge, origin: str, chunked: bool) -> None:
    body = b"GET /docs HTTP/1.1\r\nHost: x\r\n\r\n"
    length = "Transfer-Encoding: chunked\r\n" if chunked else f"Content-Length: {len(body)}\r\n"
    came = await _Connection.open(edge)
    framed = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else body
    came.writer.write(_handshake(edge, origin=origin, more=length) + framed)
    status, _, _ = await came.answer()
    assert status in (400, 403)
    came.writer.write(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
    status, _, _ = await came.answer()
    assert status == 404
    came.writer.close()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /ws/chat HTTP/1.1\r\nHost: x\r\n\r\n", 403),
        (b"GET /ws/chat/ HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /ws/chats HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"DELETE /ws/chat HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET /ws/chat HTTP/1.1\r\nHost: x\r\nUpgrade\r\n\r\n", 400),
        (b"GET /ws/chat?a=%zz HTTP/9.9\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 400),
    ],
)
async def test_what_is_no_handshake_is_answered_as_ever(edge: Edge, request_: bytes, status: int) -> None:
    came = await _Connection.open(edge)
    came.writer.write(request_)
    found, _, body = await came.answer()
    assert found == status
    contract.check_problem(orjson.loads(body))
    came.writer.close()


@pytest.mark.parametrize("cut", [0, 20])
async def test_a_request_in_work_is_answered_before_the_edge_is_gone(
    keys: Keys, redis_url: str, issuer: Issuer, cut: int
) -> None:
    async with run_edge(keys, redis_url, issuer) as edge:
        asked, go_on = asyncio.Event(), asyncio.Event()

        async def slow(_request: object, _user: object) -> conversation_rpc.PutBlockResponse:
            asked.set()
            await go_on.wait()
            return conversation_rpc.PutBlockResponse()

        edge.services.answers["PutBlock"] = slow
        idle, came = await _Connection.open(edge), await _Connection.open(edge)
        token = edge.issuer.token(somebody())
        head = f"PUT /v1/blocks/bob HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
        await came.say(head.encode(), cut)
        async with asyncio.timeout(30):
            await asked.wait()
            stopping = asyncio.create_task(edge.app.stop())
            assert await idle.reader.read() == b""  # it has nothing in work
            go_on.set()
            status, told, _ = await came.answer()
            assert await came.reader.read() == b""
            await stopping
        assert status == 204
        assert ("\r\nConnection: close\r\n" in told) == (cut == 0)  # the HTTP server just ends it


_HALVES = {
    "plain": b"",
    "chunked": b"Transfer-Encoding: chunked\r\n",
    "the last of its connection": b"Connection: close\r\n",
}


@pytest.mark.parametrize("what", _HALVES)
async def test_who_says_that_this_was_all_is_answered_and_the_connection_ends(
    keys: Keys, redis_url: str, issuer: Issuer, what: str
) -> None:
    async with run_edge(keys, redis_url, issuer) as edge:
        asked, go_on = asyncio.Event(), asyncio.Event()

        async def slow(_request: object, _user: object) -> conversation_rpc.PutBlockResponse:
            asked.set()
            await go_on.wait()
            return conversation_rpc.PutBlockResponse()

        edge.services.answers["PutBlock"] = slow
        came = await _Connection.open(edge)
        token = edge.issuer.token(somebody()).encode()
        head = b"PUT /v1/blocks/bob HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + b"\r\n"
        body = b"0\r\n\r\n" if what == "chunked" else b""
        came.writer.write(head + _HALVES[what] + b"\r\n" + body)
        came.writer.write_eof()
        async with asyncio.timeout(30):
            await asked.wait()
            for _ in range(20):  # the edge reads on
                await asyncio.sleep(0)
            go_on.set()
            status, _, _ = await came.answer()
            assert (status, await came.reader.read()) == (204, b"")
        came.writer.close()


@pytest.mark.parametrize("cut", [0, 20, -20])
async def test_who_asked_several_things_and_says_no_more_is_answered_each(edge: Edge, cut: int) -> None:
    came = await _Connection.open(edge)
    plain, chunked = b"GET /nowhere HTTP/1.1\r\nHost: x\r\n", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    await came.say((plain + b"\r\n" + plain + chunked) * 3, cut)
    came.writer.write_eof()
    assert [(await came.answer())[0] for _ in range(6)] == [404] * 6
    async with asyncio.timeout(30):
        assert await came.reader.read() == b""
    came.writer.close()


@pytest.mark.parametrize("cut", [0, 20])
async def test_who_says_no_more_in_the_middle_of_a_body_is_not_waited_for(edge: Edge, cut: int) -> None:
    token = edge.issuer.token(somebody())
    length = "Transfer-Encoding: chunked" if cut else "Content-Length: 5"
    more = [f"Authorization: Bearer {token}", _JSON, length, "", ""]
    head = "\r\n".join([f"POST {_MESSAGES} HTTP/1.1", "Host: x", *more])
    came = await _Connection.open(edge)
    await came.say(head.encode(), cut)
    came.writer.write_eof()
    async with asyncio.timeout(10):  # less than a body may take
        assert await came.reader.read() == b""
    came.writer.close()


@pytest.mark.parametrize("cut", [0, 20])
async def test_who_asks_for_an_upgrade_and_says_no_more_is_not_let_in(edge: Edge, cut: int) -> None:
    came = await _Connection.open(edge)
    await came.say(_handshake(edge), cut)
    came.writer.write_eof()
    async with asyncio.timeout(30):
        assert await came.reader.read() == b""
    came.writer.close()
