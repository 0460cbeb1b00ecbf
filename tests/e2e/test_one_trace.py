"""One trace leads from a browser's request through gRPC and SQL to both published events."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from deploy.local.folders import open_temporary
from deploy.local.system import SERVICES, Parts, System
from tests.support.backing import MakeDatabase
from tests.support.outbox import open_inbox
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("traces")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def traced_system(
    make_database: MakeDatabase, redis_url: str, amqp_url: str, traces: Path
) -> AsyncIterator[System]:
    """A system whose processes write their spans to files."""
    database = await make_database()
    programs = (*SERVICES, "edge_gateway")
    overrides = {name: {"OTEL_TRACES_FILE": str(traces / f"{name}.jsonl")} for name in programs}
    databases = {service: await database.url(service) for service in SERVICES}
    folder = open_temporary()
    running = System(folder, Parts(databases, redis_url=redis_url, amqp_url=amqp_url, overrides=overrides))
    try:
        await running.start()
        yield running
    finally:
        await running.stop()
        folder.close()


async def test_a_send_is_one_trace_from_rest_to_sql_and_to_what_is_published(
    traced_system: System, amqp_url: str, traces: Path
) -> None:
    trace_id = uuid.uuid4().hex
    traceparent = f"00-{trace_id}-00f067aa0ba902b7-01"
    async with aiohttp.ClientSession() as http, open_inbox(amqp_url, "message.created.v1") as inbox:

        async def headers(user_id: str, role: str) -> dict[str, str]:
            person = {"userId": user_id, "role": role, "displayName": user_id}
            async with http.post(f"{traced_system.issuer_url}/token", json=person) as answer:
                token = (await answer.json())["token"]
            found = {"Authorization": f"Bearer {token}"}
            async with http.get(f"{traced_system.edge_url}/v1/me", headers=found) as answer:
                assert answer.status == 200
            return found

        mark = uuid.uuid4().hex[:8]
        ada = await headers(f"ada_{mark}", "recruiter")
        await headers(f"bob_{mark}", "candidate")
        body = {"recipientId": f"bob_{mark}", "message": {"clientMessageId": "c1", "text": "hello"}}
        async with http.post(
            f"{traced_system.edge_url}/v1/conversations",
            json=body,
            headers={**ada, "traceparent": traceparent},
        ) as answer:
            assert answer.status == 201
            assert trace_id in answer.headers["traceparent"]
            conversation = (await answer.json())["conversation"]["id"]

        heard: dict[str, Any] = {}
        while heard.get("subject") != conversation:
            heard = json.loads((await inbox.next()).body)
    assert trace_id in heard["traceparent"]

    def spans() -> list[dict[str, Any]]:
        texts = [path.read_text() for path in sorted(traces.glob("*.jsonl"))]
        # A line that is just being written has no end yet.
        lines = [line for text in texts for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [span for span in map(json.loads, lines) if trace_id in json.dumps(span)]

    async def missing() -> set[str]:
        names = " ".join(str(span["name"]) for span in spans())
        return {part for part in wanted if part not in names}

    # Each process writes its spans in its own time.
    wanted = {"POST ", "CreateConversation", "OpenConversation"}
    wanted |= {"db.place_messages", "publish realtime", "publish bus"}
    await eventually(missing, until=lambda names: not names)
    assert not any("hello" in json.dumps(span) for span in spans()), "a span holds a message's text"
