"""docs/howto/call-the-services.md, followed: another process calls message_svc with a key of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.local.folders import CHECKOUT
from deploy.local.system import System
from tests.support.system import bring_back

HOWTO = (CHECKOUT / "docs/howto/call-the-services.md").read_text()


def block(language: str, holding: str) -> str:
    """The page's code block in `language` that holds the given words."""
    blocks = re.findall(rf"```{language}\n(.*?)```", HOWTO, re.DOTALL)
    (found,) = [text for text in blocks if holding in text]
    return str(found)


async def run(*command: str, cwd: Path, **environment: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 120)
    return output.decode()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def caller(system: System, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    """A folder with the key that the page makes; message_svc believes it meanwhile."""
    folder = tmp_path_factory.mktemp("ats_sync")
    public_key = await run("sh", "-c", block("bash", "genpkey"), cwd=folder)
    text = block("json", "ats_sync").replace("<the line that openssl printed>", public_key.strip())
    entry = json.loads(text)
    trust = Path(str(system.describe()["keysDir"])) / "trust.json"
    before = trust.read_text()
    believed = json.loads(before)
    believed["keys"].append(entry)
    trust.write_text(json.dumps(believed))
    await bring_back(system, "message_svc")
    (folder / "call.py").write_text(block("python", "asyncio.run"))
    yield folder
    trust.write_text(before)
    await bring_back(system, "message_svc")


async def call(system: System, folder: Path, key: str = "ats_sync.pem") -> str:
    return await run(
        *(sys.executable, "call.py"),
        cwd=folder,
        KEY_FILE=key,
        MESSAGE_SVC_TARGET=system.targets["message_svc"],
        USER_ID="somebody",
    )


async def test_the_page_as_it_stands_calls_message_svc(system: System, caller: Path) -> None:
    assert await call(system, caller) == "unread messages: 0\n"


async def test_a_key_that_nobody_named_is_refused(system: System, caller: Path) -> None:
    await run("openssl", "genpkey", "-algorithm", "ed25519", "-out", "other.pem", cwd=caller)

    assert await call(system, caller, "other.pem") == "refused: unauthenticated\n"


async def test_without_the_person_it_acts_for_it_is_refused(system: System, caller: Path) -> None:
    program = (caller / "call.py").read_text()
    anonymous = program.replace("acting=someone,", "")
    assert anonymous != program
    (caller / "call.py").write_text(anonymous)
    try:
        assert await call(system, caller) == "refused: unauthenticated\n"
    finally:
        (caller / "call.py").write_text(program)
