"""People as the edge sees them: a token, a browser's REST, a browser's socket.

Every answer and every frame is held against the contract on its way.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
from aiohttp import ClientSession, WSMsgType
from yarl import URL

from tests.support import contract

Json = dict[str, Any]
PATIENCE = 60.0
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
    edge_url: str
    user_id: str
    token: str
    checked: bool = True
    """Whether answers and frames are held against the contract, which costs more than to serve them."""

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
        """An open socket, all read up to `system.caught_up`."""
        url = f"{edge_url or self.edge_url}/ws/chat"
        if cursor is not None:
            url += f"?cursor={cursor}"
        options.setdefault("protocols", ["chat.v1", f"bearer.{self.token}"])
        options.setdefault("headers", {"Origin": self.edge_url})
        async with self.http.ws_connect(url, autoping=True, **options) as socket:
            live = Live(socket, checked=self.checked)
            reader = asyncio.create_task(live.read())
            try:
                await live.frame("system.caught_up")
                yield live
            finally:
                await socket.close()
                await reader


@dataclass
class Live:
    """A socket and all that came over it."""

    socket: aiohttp.ClientWebSocketResponse
    frames: list[Json] = field(default_factory=list)
    failure: BaseException | None = None
    checked: bool = True
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    ended: bool = False

    async def read(self) -> None:
        """Reads until it is closed."""
        try:
            async for message in self.socket:
                assert message.type is WSMsgType.TEXT
                frame = orjson.loads(message.data)
                if self.checked:
                    contract.check_frame(frame)
                await self._note(frame)
        except AssertionError as error:
            self.failure = error
        self.ended = True
        await self._note(None)

    async def _note(self, frame: Json | None) -> None:
        async with self._news:
            if frame is not None:
                self.frames.append(frame)
            self._news.notify_all()

    @property
    def cursor(self) -> str | None:
        """The last one seen."""
        return next((frame["cursor"] for frame in reversed(self.frames) if "cursor" in frame), None)

    @property
    def replayed(self) -> list[Json]:
        """What came between the welcome and `system.caught_up`."""
        types = [frame["type"] for frame in self.frames]
        return self.frames[1 : types.index("system.caught_up")]

    @property
    def welcome(self) -> Json:
        """The first frame's data."""
        assert self.frames[0]["type"] == "system.welcome"
        data: Json = self.frames[0]["data"]
        return data

    async def frame(self, name: str, such: Callable[[Json], bool] = lambda _frame: True) -> Json:
        """The first frame of that type (and such), waited for."""
        return await self._first(lambda each: each["type"] == name and such(each), name)

    async def reply(self, to: str) -> Json:
        """The `ack` or `error` of what was said with that id, waited for."""
        return await self._first(lambda each: each.get("replyTo") == to, f"a reply to {to}")

    async def _first(self, such: Callable[[Json], bool], name: str) -> Json:
        def found() -> Json | None:
            return next((each for each in self.frames if such(each)), None)

        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: self.ended or found() is not None)
        if self.failure is not None:
            raise self.failure
        frame = found()
        assert frame is not None, f"closed with {self.socket.close_code} before {name}: {self.frames}"
        return frame

    async def closed(self) -> int | None:
        """The close code, waited for."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: self.ended)
        if self.failure is not None:
            raise self.failure
        return self.socket.close_code

    async def say(self, **frame: object) -> None:
        """Sends a frame."""
        await self.socket.send_str(orjson.dumps(frame).decode())


@dataclass
class Town:
    """Where people come from: an edge and its issuer."""

    http: ClientSession
    edge_url: str
    issuer_url: str

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
        person = Person(self.http, self.edge_url, user_id, await self.token(user_id, role, **more))
        await person.get("/me")
        return person

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
