"""`make run` brings up the whole product from nothing, keeps it up, and takes all of it away again."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from deploy.local.folders import CHECKOUT
from deploy.local.ports import LOOPBACK, free_port
from deploy.local.program import grpc_serving
from tests.support.processes import none_left, processes_with

# Generous: the machine may be doing other things too.
START_SECONDS = 240.0
UNNAMED = {
    name: value
    for name, value in os.environ.items()
    if name not in ("DATABASE_URL", "REDIS_URL", "AMQP_URL", "MAKEFLAGS", "MAKELEVEL")
}
# What a developer's shell may hold for other programs.
OF_OTHERS = {"ISSUER_URL": "https://elsewhere.example", "http_proxy": f"http://{LOOPBACK}:9"}


@pytest.fixture
def state() -> Iterator[Path]:
    """A state folder that no other run uses: every process of a run has its name in its environment."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="make-run-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name) / "state"


@dataclass
class MakeRun:
    """A `make run` in a session of its own, as in a terminal."""

    process: asyncio.subprocess.Process
    state: Path
    port: int

    async def ready(self) -> str:
        """Waits for the address, which is all that goes to stdout."""
        assert self.process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            line = await self.process.stdout.readline()
        return line.decode().strip() or (await self.end()).decode()

    async def end(self) -> bytes:
        """Waits for the end; returns what was said."""
        assert self.process.stderr is not None
        said = await self.process.stderr.read()
        await self.process.wait()
        return said

    def described(self) -> dict[str, dict[str, str]]:
        content: dict[str, dict[str, str]] = json.loads((self.state / "run.json").read_text())
        return content


@asynccontextmanager
async def make_run(state: Path, port: int, **more: str) -> AsyncIterator[MakeRun]:
    process = await asyncio.create_subprocess_exec(
        *("make", "run"),
        cwd=CHECKOUT,
        env={**UNNAMED, **OF_OTHERS, "STATE_DIR": str(state), "PORT": str(port), **more},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield MakeRun(process, state, port)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGTERM)
            await process.communicate()


async def page(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        return await answer.text()


async def allowed_origin(url: str, origin: str) -> str | None:
    """Whom the answer to a preflight lets in."""
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    async with aiohttp.ClientSession() as session, session.options(url, headers=headers) as answer:
        return answer.headers.get("Access-Control-Allow-Origin")


async def test_it_brings_the_demo_up_keeps_it_up_and_leaves_nothing_on_ctrl_c(state: Path) -> None:
    port = free_port()
    async with make_run(state, port) as first:
        address = await first.ready()
        assert address == f"http://{LOOPBACK}:{port}/demo/"
        assert "<html" in await page(address)
        assert (state / "run.json").stat().st_mode & 0o777 == 0o600

        killed = first.described()["pids"]["message_svc"]
        os.kill(int(killed), signal.SIGKILL)
        serving = grpc_serving(first.described()["targets"]["message_svc"])
        async with asyncio.timeout(START_SECONDS):
            while first.described()["pids"]["message_svc"] == killed or not await serving():
                await asyncio.sleep(0.2)

        os.killpg(first.process.pid, signal.SIGINT)
        said = (await first.end()).decode()
    assert "message_svc ended by SIGKILL; starting it again" in said
    assert "new" in said
    assert processes_with(str(state)) == []
    assert not (state / "run.json").exists()

    page_elsewhere = "http://localhost:5173"
    async with make_run(state, port, ALLOWED_ORIGINS=page_elsewhere) as second:
        assert await second.ready() == address
        issuer = str(second.described()["issuerUrl"])
        for url, origin in itertools.product(
            (f"{address.removesuffix('/demo/')}/v1/me", f"{issuer}/token"),
            (page_elsewhere, address.removesuffix("/demo/")),
        ):
            assert await allowed_origin(url, origin) == origin
        second.process.send_signal(signal.SIGINT)  # to make alone, as another program would do
        said = (await second.end()).decode()
    assert "known" in said, "the second start finds the data of the first"
    assert processes_with(str(state)) == []


async def test_it_leaves_nothing_when_it_is_stopped_or_killed_while_it_starts(state: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        async with make_run(state, free_port()) as run:
            async with asyncio.timeout(START_SECONDS):
                while not (state / "log" / "rabbitmq.log").exists():
                    await asyncio.sleep(0.02)
            run.process.send_signal(number)  # to make; the kernel tells the run
            await run.end()
        assert await none_left(str(state)) == []


async def test_a_taken_port_is_one_sentence_and_nothing_starts(state: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        async with make_run(state, port) as run:
            said = (await run.end()).decode()
    assert run.process.returncode != 0
    assert f"Port {port} is taken: stop what listens there" in said
    assert not state.exists()


async def test_a_second_run_on_the_same_state_is_refused(state: Path) -> None:
    async with make_run(state, free_port()) as first:
        async with asyncio.timeout(START_SECONDS):
            while not (state / "pids").exists():
                await asyncio.sleep(0.02)
        async with make_run(state, free_port()) as second:
            said = (await second.end()).decode()
        assert second.process.returncode != 0
        assert "is in use by another run" in said
        assert first.process.returncode is None
