"""Nothing is acknowledged before it is enforced, also when a service dies half-way (I5).

Real processes, killed by their pid; the caller is a browser's REST client at the edge.
"""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
import asyncpg
import pytest_asyncio

from deploy.local.folders import open_temporary
from deploy.local.system import SERVICES, Parts, System
from tests.ledger.truth import read_truth
from tests.support.backing import MakeDatabase, TestDatabase
from tests.support.waiting import eventually

# Until what was killed has healed: far above what a loaded machine takes.
healed = partial(eventually, within=120.0)


@dataclass
class Chat:
    """A running system and whoever uses it."""

    system: System
    database: TestDatabase
    http: aiohttp.ClientSession

    async def person(self, role: str) -> Person:
        """Somebody with a token, known to the chat."""
        user_id = f"{role}_{uuid.uuid4().hex[:10]}"
        async with self.http.post(
            f"{self.system.issuer_url}/token", json={"userId": user_id, "role": role, "displayName": role}
        ) as answer:
            token = (await answer.json())["token"]
        person = Person(self, user_id, token)
        assert (await person.answered("GET", "/me"))[0] == 200
        return person

    async def rows(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Looks into the tables as the administrator."""
        conn = await asyncpg.connect(self.database.admin_url)
        try:
            found: list[asyncpg.Record] = await conn.fetch(query, *arguments)
            return found
        finally:
            await conn.close()


@dataclass
class Person:
    chat: Chat
    user_id: str
    token: str

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        """Status and JSON of one request at the edge."""
        async with self.chat.http.request(
            method,
            f"{self.chat.system.edge_url}/v1{path}",
            json=body,
            headers={"Authorization": f"Bearer {self.token}"},
        ) as answer:
            return answer.status, await answer.json() if answer.content_type.endswith("json") else {}

    async def answered(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        """As `ask`, repeated while the answer is 503, as a browser does: a service may just be back."""
        return await healed(lambda: self.ask(method, path, body), until=lambda answer: answer[0] != 503)

    async def start(self, other: Person) -> tuple[int, dict[str, Any]]:
        """One attempt."""
        message = {"clientMessageId": "first", "text": "hello"}
        return await self.ask("POST", "/conversations", {"recipientId": other.user_id, "message": message})

    async def started(self, other: Person) -> str:
        """The id of a conversation, asked for as often as it takes."""
        status, answer = await healed(lambda: self.start(other), until=lambda answer: answer[0] != 503)
        assert status in {200, 201}, answer  # 200: an attempt had come through that was answered with 503
        conversation: str = answer["conversation"]["id"]
        return conversation

    async def write(self, conversation: str, text: str) -> tuple[int, str]:
        """Status, and the problem's code if it was refused."""
        body = {"clientMessageId": uuid.uuid4().hex, "text": text}
        status, answer = await self.answered("POST", f"/conversations/{conversation}/messages", body)
        return status, answer.get("code", "")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def chat(make_database: MakeDatabase, redis_url: str, amqp_url: str) -> AsyncIterator[Chat]:
    """A system of this module's own, since it is killed; what heals it looks often."""
    database = await make_database()
    folder = open_temporary()
    often = {"PUSH_SWEEP_SECONDS": "0.3", "PUSH_OWED_AFTER_SECONDS": "1", "RECONCILE_SECONDS": "1"}
    often["UNOPENED_TTL_SECONDS"] = "600"  # nothing that was begun is forgotten, however slow the machine
    databases = {service: await database.url(service) for service in SERVICES}
    parts = Parts(databases, redis_url=redis_url, amqp_url=amqp_url, overrides={"conversation_svc": often})
    system = System(folder, parts)
    try:
        await system.start()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http:
            yield Chat(system, database, http)
    finally:
        await system.stop()
        folder.close()


async def accepted(chat: Chat) -> tuple[Person, Person, str]:
    """Two people in an accepted conversation."""
    ada, bob = await chat.person("recruiter"), await chat.person("candidate")
    conversation = await ada.started(bob)
    assert (await bob.write(conversation, "accepts"))[0] == 201
    return ada, bob, conversation


async def push_owed(chat: Chat, conversation: str) -> bool:
    """Whether message_svc is not known to hold the conversation's gate."""
    rows = await chat.rows(
        "SELECT gate_pushed < gate_version AS owed FROM conversation_svc.conversations WHERE id = $1",
        uuid.UUID(conversation),
    )
    owed: bool = rows[0]["owed"]
    return owed


async def test_a_block_while_message_svc_is_away_is_not_acknowledged_and_its_repeat_completes_it(
    chat: Chat,
) -> None:
    ada, bob, conversation = await accepted(chat)
    chat.system.kill("message_svc")

    status, problem = await bob.ask("PUT", f"/blocks/{ada.user_id}")
    assert (status, problem["code"], problem["retryable"]) == (503, "unavailable", True)

    await chat.system.restart("message_svc")

    assert (await bob.answered("PUT", f"/blocks/{ada.user_id}"))[0] == 204
    assert await ada.write(conversation, "after the acknowledgement") == (403, "undeliverable")


async def test_a_block_whose_service_was_killed_before_its_push_is_completed_by_the_sweeper(
    chat: Chat,
) -> None:
    ada, bob, conversation = await accepted(chat)
    message_svc = chat.system.programs["message_svc"].running.pid
    os.kill(message_svc, signal.SIGSTOP)  # the push waits: the block is committed and not enforced
    try:
        asked = asyncio.create_task(bob.ask("PUT", f"/blocks/{ada.user_id}"))
        await healed(lambda: push_owed(chat, conversation))
        chat.system.kill("conversation_svc")
        chat.system.kill("message_svc")  # and the push that it had not read dies with it
    finally:
        if chat.system.programs["message_svc"].running.exit_code() is None:
            os.kill(message_svc, signal.SIGCONT)
    status, problem = await asked
    assert (status, problem["code"]) == (503, "unavailable")
    await asyncio.gather(chat.system.restart("message_svc"), chat.system.restart("conversation_svc"))

    await healed(lambda: push_owed(chat, conversation), until=lambda owed: not owed)
    assert await ada.write(conversation, "after the sweeper") == (403, "undeliverable")


async def test_a_request_whose_opening_was_killed_is_completed_by_its_repeat(chat: Chat) -> None:
    ada, bob = await chat.person("recruiter"), await chat.person("candidate")
    chat.system.kill("message_svc")

    status, problem = await ada.start(bob)
    assert (status, problem["code"]) == (503, "unavailable")
    await chat.system.restart("message_svc")

    await ada.started(bob)
    _, listed = await bob.answered("GET", "/conversations?folder=requests")
    assert [item["lastMessage"]["text"] for item in listed["items"]] == ["hello"]


async def test_the_ledger_waits_for_no_event_of_a_conversation_that_never_began(chat: Chat) -> None:
    ada, bob = await chat.person("recruiter"), await chat.person("candidate")
    chat.system.kill("message_svc")
    assert (await ada.start(bob))[0] == 503  # it is committed, and its first message is not
    await chat.system.restart("message_svc")
    assert (await bob.answered("PUT", f"/blocks/{ada.user_id}"))[0] == 204
    status, problem = await healed(lambda: ada.start(bob), until=lambda answer: answer[0] != 503)
    assert (status, problem["code"]) == (403, "undeliverable")

    owed = (
        "SELECT name FROM conversation_svc.owed_events WHERE conversation_id IS NOT NULL AND recipients = $1"
    )
    assert [row["name"] for row in await chat.rows(owed, [bob.user_id])] == ["conversation.updated"]
    await healed(
        lambda: read_truth(chat.database.admin_url, [ada.user_id, bob.user_id]),
        until=lambda truth: truth.owed == 0,
    )


async def test_an_acceptance_while_message_svc_is_away_tells_nobody_until_it_is_enforced(chat: Chat) -> None:
    ada, bob = await chat.person("recruiter"), await chat.person("candidate")
    conversation = await ada.started(bob)
    chat.system.kill("message_svc")

    status, _ = await bob.ask("POST", f"/conversations/{conversation}/accept")
    assert status == 503
    told = await chat.rows(
        "SELECT 1 FROM conversation_svc.outbox_realtime WHERE name = 'conversation.accepted'"
        " AND conversation_id = $1",
        uuid.UUID(conversation),
    )
    assert told == []

    await chat.system.restart("message_svc")
    await healed(lambda: push_owed(chat, conversation), until=lambda owed: not owed)
    assert (await bob.answered("POST", f"/conversations/{conversation}/accept"))[0] == 200
    assert (await ada.write(conversation, "thank you"))[0] == 201


async def test_gates_that_a_restore_set_back_are_pushed_again_by_the_reconciler(chat: Chat) -> None:
    ada, bob, conversation = await accepted(chat)
    gate = (await chat.rows("SELECT * FROM message_svc.gate WHERE id = $1", uuid.UUID(conversation)))[0]
    assert (await bob.answered("PUT", f"/blocks/{ada.user_id}"))[0] == 204
    await chat.rows(  # what a backup from before the block would bring back
        "UPDATE message_svc.gate SET gate_version = $2, snapshot = $3 WHERE id = $1",
        gate["id"],
        gate["gate_version"],
        gate["snapshot"],
    )

    async def held() -> int:
        rows = await chat.rows("SELECT gate_version FROM message_svc.gate WHERE id = $1", gate["id"])
        version: int = rows[0]["gate_version"]
        return version

    await healed(held, until=lambda version: version > gate["gate_version"])
    assert await ada.write(conversation, "after the restore") == (403, "undeliverable")
