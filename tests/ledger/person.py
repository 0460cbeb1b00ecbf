"""Somebody at the edge's REST, who notes in the journal what was wanted and what came of it."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterable, Sequence
from typing import Any

import aiohttp
import orjson

from tests.ledger.journal import Journal, Json
from tests.ledger.violations import View

# Above the edge's own limit, so that a running edge always answers first.
REQUEST_SECONDS = 10.0
FOLDERS = ("inbox", "requests", "sent", "archived")
AWAY = (aiohttp.ClientError, TimeoutError, OSError)
_numbers = itertools.count(1)


def new_action() -> str:
    """A name for something wanted."""
    return f"a{next(_numbers)}"


class Edges:
    """The edges that requests go to: each asker keeps to one until it fails."""

    def __init__(self, urls: Sequence[str], start: int = 0):
        self._urls = urls
        self._index = start

    @property
    def url(self) -> str:
        return self._urls[self._index % len(self._urls)]

    def turn(self) -> None:
        """The next one, since this one failed."""
        self._index += 1


class NotAnsweredError(Exception):
    """No answer that says yes or no."""


class Reader:
    """Reads over REST as one person. Raises NotAnsweredError, or `AWAY`."""

    def __init__(self, http: aiohttp.ClientSession, edges: Edges, user: str, token: str):
        self.http = http
        self.edges = edges
        self.user = user
        self.token = token

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and JSON of one attempt."""
        async with self.http.request(
            method,
            f"{self.edges.url}/v1{path}",
            data=None if body is None else orjson.dumps(body),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
            timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
        ) as answer:
            raw = await answer.read()
            return answer.status, orjson.loads(raw) if raw else None

    async def get(self, path: str) -> Any:
        """The body of a GET."""
        status, body = await self.ask("GET", path)
        if status != 200:
            raise NotAnsweredError(f"{path}: {status} {body}")
        return body

    async def all_of(self, path: str) -> list[Json]:
        """Every item of a list, page by page."""
        items: list[Json] = []
        cursor = ""
        while True:
            page = await self.get(f"{path}&limit=100{cursor}")
            items += page["items"]
            if page["nextCursor"] is None:
                return items
            cursor = f"&cursor={page['nextCursor']}"

    async def messages_after(self, conversation: str, seq: int) -> list[Json]:
        """All messages of a conversation after `seq`."""
        items: list[Json] = []
        while True:
            page = await self.get(f"/conversations/{conversation}/messages?afterSeq={seq}&limit=100")
            items += page["items"]
            if not page["hasNewer"] or not page["items"]:
                return items
            seq = items[-1]["seq"]

    async def changes_after(self, conversation: str, change_seq: int) -> list[Json]:
        """All messages of a conversation that were changed after `change_seq`."""
        items: list[Json] = []
        while True:
            page = await self.get(f"/conversations/{conversation}/changes?after={change_seq}&limit=100")
            items += page["items"]
            if not page["hasMore"]:
                return items
            change_seq = items[-1]["changeSeq"]

    async def find(self, path: str) -> Any | None:
        """As `get`; None when it is not there."""
        status, body = await self.ask("GET", path)
        if status not in {200, 404}:
            raise NotAnsweredError(f"{path}: {status} {body}")
        return body if status == 200 else None

    async def view(self, known: Iterable[str] = ()) -> View:
        """Everything, from nothing; of the `known` conversations also those that stand in no list."""
        me = await self.get("/me")
        folders = {name: await self.all_of(f"/conversations?folder={name}") for name in FOLDERS}
        listed = {item["id"] for items in folders.values() for item in items}
        found = [await self.find(f"/conversations/{key}") for key in sorted(set(known) - listed)]
        unlisted = {item["id"]: item for item in found if item is not None}
        messages = {key: await self.messages_after(key, 0) for key in {*listed, *unlisted}}
        return View(me["unread"], folders, messages, unlisted)


class Person(Reader):
    """A reader who also acts, as often as it takes to get a yes or a no."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        edges: Edges,
        user: str,
        token: str,
        *,
        journal: Journal,
        chance: random.Random,
    ):
        super().__init__(http, edges, user, token)
        self._journal = journal
        self._chance = chance
        self._block = ""

    async def act(
        self, op: str, method: str, path: str, body: object = None, *, action: str = "", **wanted: object
    ) -> tuple[int, Any]:
        """The definite answer. What is in doubt is asked again with the same body."""
        action = action or new_action()
        pause = 0.05
        while True:
            self._journal.note("attempt", action=action, op=op, user=self.user, **wanted)
            try:
                status, answer = await self.ask(method, path, body)
            except AWAY as error:
                why = type(error).__name__
                self.edges.turn()
            else:
                if status < 500 and status != 429:
                    self._journal.note("answer", action=action, status=status, body=answer)
                    return status, answer
                why = str(status)
            self._journal.note("doubt", action=action, why=why)
            await asyncio.sleep(self._chance.uniform(0, pause))
            pause = min(1.0, pause * 2)

    async def send(self, conversation: str, client_id: str, text: str) -> tuple[int, Any]:
        """POST …/messages."""
        return await self.act(
            "send",
            "POST",
            f"/conversations/{conversation}/messages",
            {"clientMessageId": client_id, "text": text},
            conversation=conversation,
            clientId=client_id,
            text=text,
        )

    async def start(self, other: str, job: str, client_id: str, text: str) -> tuple[int, Any]:
        """POST /conversations; its conversation goes into the journal."""
        status, answer = await self.act(
            "start",
            "POST",
            "/conversations",
            {
                "recipientId": other,
                "context": {"jobId": job},
                "message": {"clientMessageId": client_id, "text": text},
            },
            whom=other,
            clientId=client_id,
            text=text,
        )
        if status in {200, 201}:
            self._journal.note(
                "conversation", conversation=answer["conversation"]["id"], members=[self.user, other]
            )
        return status, answer

    async def accept(self, conversation: str) -> tuple[int, Any]:
        """POST …/accept."""
        return await self._answer_request("accept", conversation)

    async def decline(self, conversation: str) -> tuple[int, Any]:
        """POST …/decline."""
        return await self._answer_request("decline", conversation)

    async def withdraw(self, conversation: str) -> tuple[int, Any]:
        """POST …/withdraw."""
        return await self._answer_request("withdraw", conversation)

    async def _answer_request(self, op: str, conversation: str) -> tuple[int, Any]:
        return await self.act(op, "POST", f"/conversations/{conversation}/{op}", conversation=conversation)

    async def flag(self, conversation: str, **flags: bool) -> tuple[int, Any]:
        """PATCH …: mutes or archives."""
        path = f"/conversations/{conversation}"
        wanted: dict[str, Any] = {"conversation": conversation, **flags}
        return await self.act("flag", "PATCH", path, flags, **wanted)

    async def edit(self, conversation: str, message: str, text: str) -> tuple[int, Any]:
        """PATCH …/messages/{id}."""
        path = f"/conversations/{conversation}/messages/{message}"
        return await self.act(
            "edit", "PATCH", path, {"text": text}, conversation=conversation, message=message, text=text
        )

    async def redact(self, conversation: str, message: str) -> tuple[int, Any]:
        """DELETE …/messages/{id}."""
        path = f"/conversations/{conversation}/messages/{message}"
        return await self.act("redact", "DELETE", path, conversation=conversation, message=message)

    async def read(self, conversation: str, seq: int) -> tuple[int, Any]:
        """PUT …/read."""
        path = f"/conversations/{conversation}/read"
        return await self.act("read", "PUT", path, {"lastReadSeq": seq}, conversation=conversation)

    async def block(self, other: str, conversation: str) -> tuple[int, Any]:
        """PUT /blocks/{userId}; looks then how far their conversation is."""
        self._block = new_action()
        status, answer = await self.act(
            "block", "PUT", f"/blocks/{other}", action=self._block, whom=other, conversation=conversation
        )
        if status == 204:
            await self.observe(conversation)
        return status, answer

    async def unblock(self, other: str, conversation: str) -> tuple[int, Any]:
        """DELETE /blocks/{userId}."""
        path = f"/blocks/{other}"
        return await self.act("unblock", "DELETE", path, whom=other, conversation=conversation)

    async def observe(self, conversation: str) -> None:
        """Notes how far the conversation is while the last block stands."""
        try:
            view = await self.get(f"/conversations/{conversation}")
        except (*AWAY, NotAnsweredError):
            return  # not seen this time; the block stands all the same
        self._journal.note("observed", block=self._block, conversation=conversation, lastSeq=view["lastSeq"])
