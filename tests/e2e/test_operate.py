"""docs/howto/operate.md does what it says, on servers that hold nothing yet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from deploy.local.backing import Backing
from deploy.local.databases import ensure_database
from deploy.local.folders import CHECKOUT, open_temporary
from deploy.local.ports import LOOPBACK, free_port
from tests.support.pages import run_steps, steps
from tests.support.processes import none_left

PAGE = CHECKOUT / "docs" / "howto" / "operate.md"


@pytest_asyncio.fixture
async def servers() -> AsyncIterator[dict[str, str]]:
    """Of this test alone: the page makes roles, which belong to a whole Postgres."""
    folder = open_temporary()
    backing = Backing(folder, say=print, environ={})
    try:
        urls = await backing.start()
        yield {**urls, "DATABASE_URL": await ensure_database(urls["DATABASE_URL"], "chat")}
    finally:
        await backing.stop()
        folder.close()


async def test_every_command_prints_what_the_page_says(servers: dict[str, str], tmp_path: Path) -> None:
    targets = {
        f"{service}_TARGET": f"{LOOPBACK}:{free_port()}"
        for service in ("MESSAGE_SVC", "CONVERSATION_SVC", "PRESENCE_SVC")
    }
    ports = {"EDGE_PORT": str(free_port()), "OPS_PORT": str(free_port())}
    printed = await run_steps(PAGE, {**servers, **targets, **ports, "HERE": str(tmp_path)})
    assert printed == [step.printed for step in steps(PAGE)]
    assert await none_left(str(tmp_path)) == []
