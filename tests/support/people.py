"""People as edges see them: a token, a browser's REST, a browser's socket.

They take turns at edges, and so do the sockets of each: what one does at an edge, others see at another.
Every answer and every frame is held against the contract on its way.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from aiohttp import ClientSession
from yarl import URL

from tests.support import contract
from tests.support.live import Live

Json = dict[str, Any]
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Reply:
    """An answer of the edge."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return orjson.loads(self.raw) if self.raw else None

    @property
    def code(self) -> str:
        """The problem's code."""
        code: str = self.body["code"]
        return code

    def without_request_id(self) -> bytes:
        """The body, to be compared byte by byte."""
        return self.raw.replace(self.body["requestId"].encode(), b"")


@dataclass
class Person:
    """Somebody with a token."""

    http: ClientSession
    edge_urls: Sequence[str]
    """Two at least. Requests go to the first, and whoever has one socket has it there."""
    user_id: str
    token: str
    checked: bool = True
    """Whether answers and frames are held against the contract, which costs more than to serve them."""
    _sockets: int = field(default=0, init=False)
    """How many are open."""
    _latest: str = field(default="", init=False)
    """The edge of the last one that was opened."""

    def __post_init__(self) -> None:
        assert len(set(self.edge_urls)) > 1, "what is seen at one edge says nothing about two"

    @property
    def edge_url(self) -> str:
        """Where requests go."""
        return self.edge_urls[0]

    def at(self, edge_url: str) -> Person:
        """The same person at that edge; a test says why it must be that one."""
        others = [each for each in self.edge_urls if each != edge_url]
        return replace(self, edge_urls=(edge_url, *others))

    async def request(
        self,
        method: str,
        template: str,
        body: object = None,
        *,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        **path: str,
    ) -> Reply:
        """Sends to `/v1` + template, its `{…}` filled from `path`."""
        reply = await self.ask(method, f"{template.format(**path)}{query}", body, headers=headers)
        kind = reply.headers.get("Content-Type", "")
        if self.checked:
            contract.check_answer(method, f"/v1{template}", reply.status, kind, reply.body)
        assert reply.headers["X-Request-Id"]
        assert reply.headers["traceparent"]
        return reply

    async def ask(
        self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Sends to `/v1` + path, percent-encoded as it is; the answer is not held against the contract."""
        data = None if body is None else orjson.dumps(body)
        headers = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        if data is not None:
            headers["Content-Type"] = "application/json"
        url = URL(f"{self.edge_url}/v1{path}", encoded=True)
        async with self.http.request(method, url, data=data, headers=headers) as response:
            return Reply(response.status, response.headers, await response.read())

    async def get(self, template: str, *, query: str = "", **path: str) -> Any:
        """The body of a GET that must succeed."""
        reply = await self.request("GET", template, query=query, headers=None, **path)
        assert reply.status == 200, reply.raw
        return reply.body

    async def start(
        self, other: Person, text: str = "hello", *, key: str | None = None, **more: object
    ) -> Reply:
        """POST /conversations; `key` is its idempotency key."""
        body = {"recipientId": other.user_id, "message": new_message(text), **more}
        headers = None if key is None else {"Idempotency-Key": key}
        return await self.request("POST", "/conversations", body, headers=headers)

    async def send(
        self, conversation_id: str, text: str = "hello", client_id: str | None = None, **more: object
    ) -> Reply:
        """POST …/messages."""
        body = {**new_message(text, client_id), **more}
        return await self.request("POST", "/conversations/{id}/messages", body, id=conversation_id)

    async def post(self, verb: str, conversation_id: str, body: object = None) -> Reply:
        """POST …/accept, …/decline, …/withdraw."""
        return await self.request("POST", f"/conversations/{{id}}/{verb}", body, id=conversation_id)

    async def edit(self, message: Json, text: str) -> Reply:
        """PATCH …/messages/{messageId}."""
        template, where = "/conversations/{id}/messages/{messageId}", message["conversationId"]
        return await self.request("PATCH", template, {"text": text}, id=where, messageId=message["id"])

    async def redact(self, message: Json) -> Reply:
        """DELETE …/messages/{messageId}."""
        template, where = "/conversations/{id}/messages/{messageId}", message["conversationId"]
        return await self.request("DELETE", template, id=where, messageId=message["id"])

    async def flag(self, conversation_id: str, **flags: object) -> Reply:
        """PATCH /conversations/{id}."""
        return await self.request("PATCH", "/conversations/{id}", flags, id=conversation_id)

    async def changes(self, conversation_id: str, after: int = 0, limit: int = 50) -> Json:
        """GET …/changes."""
        query = f"?after={after}&limit={limit}"
        body: Json = await self.get("/conversations/{id}/changes", query=query, id=conversation_id)
        return body

    async def view(self, conversation_id: str) -> Json:
        """GET /conversations/{id}."""
        body: Json = await self.get("/conversations/{id}", id=conversation_id)
        return body

    async def unread(self) -> Json:
        """The totals of GET /me."""
        me = await self.get("/me")
        totals: Json = me["unread"]
        return totals

    async def folder(self, name: str) -> list[str]:
        """Ids of a folder, newest activity first."""
        page = await self.get("/conversations", query=f"?folder={name}")
        return [item["id"] for item in page["items"]]

    @asynccontextmanager
    async def live(
        self, edge_url: str | None = None, *, cursor: str | None = None, **options: Any
    ) -> AsyncIterator[Live]:
        """An open socket, all read up to `system.caught_up`.

        Without an `edge_url` the only one is at the person's own edge; one beside it, and one that comes back
        with a cursor, is at another than the latest was.
        """
        with self._at_an_edge(edge_url, cursor) as edge_url:
            url = f"{edge_url}/ws/chat"
            if cursor is not None:
                url += f"?cursor={cursor}"
            options.setdefault("protocols", ["chat.v1", f"bearer.{self.token}"])
            options.setdefault("headers", {"Origin": edge_url})
            async with self.http.ws_connect(url, autoping=True, **options) as socket:
                live = Live(socket, edge_url, checked=self.checked)
                reader = asyncio.create_task(live.read())
                try:
                    await live.frame("system.caught_up")
                    yield live
                finally:
                    await socket.close()
                    await reader

    @contextmanager
    def _at_an_edge(self, edge_url: str | None, cursor: str | None) -> Iterator[str]:
        if edge_url is None and cursor is None and self._sockets == 0:
            edge_url = self.edge_url
        elif edge_url is None:
            edge_url = next(each for each in self.edge_urls if each != self._latest)
        self._sockets += 1
        self._latest = edge_url
        try:
            yield edge_url
        finally:
            self._sockets -= 1


@dataclass
class Town:
    """Where people come from: edges, two at least, and their issuer. Each person is at the next edge."""

    http: ClientSession
    edge_urls: Sequence[str]
    issuer_url: str
    _people: itertools.count[int] = field(default_factory=itertools.count, init=False)

    async def token(self, user_id: str, role: str = "recruiter", **more: object) -> str:
        """A development token; `more` are fields of the issuer's request."""
        body = {"userId": user_id, "role": role, **more}
        async with self.http.post(f"{self.issuer_url}/token", json=body) as response:
            assert response.status == 200, await response.text()
            token: str = (await response.json())["token"]
            return token

    async def person(self, role: str = "recruiter", **more: object) -> Person:
        """Somebody new, known to the chat."""
        user_id = f"{role}-{uuid.uuid4().hex[:12]}"
        person = self.visitor(user_id, await self.token(user_id, role, **more))
        await person.get("/me")
        return person

    def visitor(self, user_id: str, token: str) -> Person:
        """Whoever says to be that, with any token, known or not."""
        turn = next(self._people) % len(self.edge_urls)
        return Person(self.http, (*self.edge_urls[turn:], *self.edge_urls[:turn]), user_id, token)

    async def talking(self) -> tuple[Person, Person, str]:
        """A recruiter and a candidate in an active conversation of one message, both told of all of it.

        Events come after answers: a socket or a cursor of later would else meet these, or miss them.
        """
        recruiter, candidate = await self.person("recruiter"), await self.person("candidate")
        async with recruiter.live() as own, candidate.live() as theirs:
            where: str = (await recruiter.start(candidate)).body["conversation"]["id"]
            assert (await candidate.post("accept", where)).status == 200
            for live in (own, theirs):
                for name in ("conversation.requested", "message.created", "conversation.accepted"):
                    await live.frame(name)
        return recruiter, candidate, where


def new_message(text: str, client_id: str | None = None) -> Json:
    """A body of a send."""
    return {"clientMessageId": client_id or f"m{next(_numbers)}-{uuid.uuid4().hex[:8]}", "text": text}
