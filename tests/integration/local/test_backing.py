"""Private servers serve, and none of them outlives the run that started it, however that ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aio_pika
import asyncpg
import pytest
from redis.asyncio import Redis

from bench.peers.sends import wait_for_disk
from deploy.local.backing import Backing
from deploy.local.child import Child
from deploy.local.errors import LocalError
from deploy.local.folders import CHECKOUT, open_state, open_temporary
from deploy.local.postgres import Postgres
from tests.support.processes import none_left, processes_with

NAMES = ("DATABASE_URL", "REDIS_URL", "AMQP_URL")
UNNAMED = {name: value for name, value in os.environ.items() if name not in NAMES}


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for the temporary folders of one run: every process of it has this name in its environment."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="backing-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@asynccontextmanager
async def backing(place: Path, *command: str, **named: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m deploy.local backing -- COMMAND`, ended by the test or here."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.local", "backing", "--", *command),
        cwd=CHECKOUT,
        env={**UNNAMED, "TMPDIR": str(place), **named},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.communicate()


def _ledgers(place: Path) -> list[Path]:
    return list(place.glob("splits-*/pids"))


async def recorded(place: Path, server: str) -> None:
    """Waits until the run has started a process of that name."""
    async with asyncio.timeout(180):
        while f'"name": "{server}"' not in "".join(file.read_text() for file in _ledgers(place)):
            await asyncio.sleep(0.01)


async def test_a_command_gets_the_servers_and_its_exit_code_is_kept(place: Path) -> None:
    script = "import json, os; print(json.dumps(dict(os.environ))); raise SystemExit(7)"
    async with backing(place, sys.executable, "-c", script) as process:
        output, errors = await process.communicate()
    assert process.returncode == 7, errors
    assert set(NAMES) <= json.loads(output).keys()
    assert processes_with(str(place)) == []
    assert list(place.iterdir()) == []


async def test_a_server_that_the_environment_names_is_not_started(place: Path) -> None:
    named = {"DATABASE_URL": "postgresql://named.example/db", "AMQP_URL": "amqp://named.example/"}
    script = 'cat "$TMPDIR"/splits-*/pids; echo $DATABASE_URL $AMQP_URL'
    async with backing(place, "sh", "-c", script, **named) as process:
        output, errors = await process.communicate()
    *ledger, urls = output.decode().splitlines()
    assert [json.loads(line)["name"] for line in ledger] == ["redis"], errors
    assert urls == "postgresql://named.example/db amqp://named.example/"


@pytest.mark.parametrize(
    ("server", "number"),
    [
        ("initdb", signal.SIGINT),
        ("rabbitmq", signal.SIGINT),
        ("epmd", signal.SIGTERM),
        ("postgres", signal.SIGTERM),
    ],
)
async def test_a_run_interrupted_while_a_server_starts_leaves_nothing(
    place: Path, server: str, number: signal.Signals
) -> None:
    async with backing(place, "sleep", "600") as process:
        await recorded(place, server)
        process.send_signal(number)
        _, errors = await process.communicate()
    assert process.returncode == 128 + number, errors
    assert processes_with(str(place)) == []
    assert list(place.iterdir()) == []


async def test_a_signal_reaches_the_command_and_its_end_ends_the_servers(place: Path) -> None:
    script = 'trap "echo told; exit 3" INT; echo up; while :; do sleep 0.1; done'
    async with backing(place, "sh", "-c", script) as process:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGINT)
        output, _ = await process.communicate()
    assert output == b"told\n"
    assert process.returncode == 3
    assert processes_with(str(place)) == []


@pytest.mark.parametrize("server", ["initdb", "rabbitmq"])
async def test_servers_of_a_run_that_was_killed_end_and_the_next_one_clears_its_folder(
    place: Path, server: str
) -> None:
    async with backing(place, "sleep", "600") as process:
        await recorded(place, server)
        process.kill()
        await process.communicate()
    assert await none_left(str(place)) == []
    (left,) = place.iterdir()
    named = dict.fromkeys(NAMES, "named://")
    async with backing(place, "true", **named) as process:
        await process.communicate()
    assert not left.exists()


async def test_a_second_start_finds_the_data_of_the_first(place: Path) -> None:
    for round_ in (1, 2):
        folder = open_state(place / "state")
        servers = Backing(folder, say=print, environ={"AMQP_URL": "amqp://named.example/"})
        try:
            urls = await servers.start()
            database = await asyncpg.connect(urls["DATABASE_URL"])
            redis = Redis.from_url(urls["REDIS_URL"])
            if round_ == 1:
                await database.execute("CREATE TABLE kept AS SELECT 42 AS number")
                await redis.set("kept", "42")
            assert await database.fetchval("SELECT number FROM kept") == 42
            assert await redis.get("kept") == b"42"
            await database.close()
            await redis.aclose()
        finally:
            await servers.stop()
            folder.close()


async def test_only_a_postgres_that_is_thrown_away_does_not_wait_for_the_disk_and_it_can_be_told_to(
    place: Path,
) -> None:
    for folder, fsync in ((open_temporary(), "off"), (open_state(place / "state"), "on")):
        server = Postgres(folder, "secret")
        try:
            await server.start()
            assert await shown(server, "fsync", "full_page_writes") == [fsync, fsync]
            for waits in (True, False):
                await wait_for_disk(server.url, waits)
                assert await shown(server, "fsync", "full_page_writes") == ["on" if waits else "off"] * 2
        finally:
            for child in server.children:
                await child.stop()
            folder.close()


async def shown(server: Postgres, *settings: str) -> list[str]:
    database = await asyncpg.connect(server.url)
    found = [await database.fetchval(f"SHOW {name}") for name in settings]
    await database.close()
    return found


async def test_a_killed_server_comes_back_on_its_port_with_what_it_had_kept() -> None:
    folder = open_temporary()
    servers = Backing(folder, say=print, environ={})
    try:
        urls = await servers.start()
        database = await asyncpg.connect(urls["DATABASE_URL"])
        await database.execute("CREATE TABLE kept AS SELECT 42 AS number")
        below = list(descendants(servers.children))
        for name in ("Postgres", "Redis", "RabbitMQ"):
            servers.kill(name)
        assert [pid for pid in below if lives(pid)] == []

        await asyncio.gather(*(servers.restart(name) for name in ("Postgres", "Redis", "RabbitMQ")))

        database = await asyncpg.connect(urls["DATABASE_URL"])
        assert await database.fetchval("SELECT number FROM kept") == 42
        await database.close()
        redis = Redis.from_url(urls["REDIS_URL"])
        assert await redis.ping()
        await redis.aclose()
        connection = await aio_pika.connect(urls["AMQP_URL"])
        await connection.close()
    finally:
        await servers.stop()
        folder.close()


def descendants(children: Iterable[Child]) -> Iterator[int]:
    """Pids of the children and of what they have started, whatever its session."""
    waiting = [child.pid for child in children]
    while waiting:
        pid = waiting.pop()
        yield pid
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            waiting += map(int, task.read_text().split())


def lives(pid: int) -> bool:
    """Whether the process runs; one that waits to be reaped does not."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] not in "ZX"


async def test_a_server_that_the_environment_names_is_not_killed() -> None:
    folder = open_temporary()
    servers = Backing(folder, say=print, environ=dict.fromkeys(NAMES, "named://"))
    try:
        await servers.start()
        with pytest.raises(LocalError, match="not a server of ours"):
            servers.kill("Redis")
    finally:
        folder.close()


async def test_a_stop_in_the_midst_of_a_restart_leaves_nothing_and_lets_nothing_begin(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKING_TEST", str(place))
    folder = open_temporary()
    named = {"DATABASE_URL": "postgresql://named.example/db", "REDIS_URL": "redis://named.example/"}
    servers = Backing(folder, say=print, environ=named)
    try:
        await servers.start()
        servers.kill("RabbitMQ")
        restart = asyncio.create_task(servers.restart("RabbitMQ"))
        while not servers.children:  # its port mapper comes first
            await asyncio.sleep(0)
        await servers.stop()
        with pytest.raises(LocalError, match=r"rabbitmq was not started|epmd did not start"):
            await restart
        assert processes_with(str(place)) == []
    finally:
        await servers.stop()
        folder.close()
