"""What is missing or in the way is told in one sentence, before anything has started."""

from __future__ import annotations

import asyncio
import fcntl
import socket
from pathlib import Path

import pytest

from deploy.local import packages, postgres, rabbitmq, redis
from deploy.local.databases import with_parts
from deploy.local.errors import LocalError, together
from deploy.local.packages import Need
from deploy.local.ports import LOOPBACK, free_port, is_free
from deploy.local.run import wanted_port

ABSENT = Need("redis-server", lambda: False, "REDIS_URL")
PRESENT = Need("postgresql", lambda: True, "DATABASE_URL")


async def test_an_ordinary_user_is_told_which_packages_are_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(LocalError) as caught:
        await packages.ensure([ABSENT, PRESENT], say=print, uid=1000)
    assert str(caught.value) == (
        "Not installed: redis-server. Run `sudo apt-get install redis-server` once, "
        "or let REDIS_URL name servers."
    )
    assert capsys.readouterr().out == ""


async def test_a_system_without_apt_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LocalError, match=r"no apt-get to install it with: redis-server\."):
        await packages.ensure([ABSENT], say=print, uid=0)


async def test_a_run_waits_for_another_that_installs_says_so_and_finds_what_that_one_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "INSTALL_LOCK", tmp_path / "lock")
    installed = False
    need = Need("redis-server", lambda: installed, "REDIS_URL")
    said: list[str] = []
    with (tmp_path / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        waiting = asyncio.create_task(packages.ensure([need], say=said.append, uid=0))
        while not said:
            await asyncio.sleep(0.01)
        installed = True
    await waiting
    assert said == ["Another run is installing packages: waiting for it"]


async def test_nothing_is_installed_when_nothing_is_missing() -> None:
    await packages.ensure([PRESENT], say=pytest.fail, uid=0)


@pytest.mark.parametrize(
    "version", ["postgres (PostgreSQL) 13.4 (Debian)", "postgres (PostgreSQL) 9.6.1", "?"]
)
def test_a_postgres_that_is_too_old_is_refused(version: str) -> None:
    with pytest.raises(LocalError, match="is too old: the chat needs PostgreSQL 14 or newer"):
        postgres.check_version(version)


def test_a_postgres_that_is_new_enough_is_taken() -> None:
    assert postgres.check_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)") == 15


def test_a_redis_that_is_too_old_is_refused() -> None:
    with pytest.raises(LocalError, match=r"the chat needs 6\.2 or newer"):
        redis.check_version("Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64")
    redis.check_version("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64")


def test_a_rabbitmq_that_is_too_old_is_refused() -> None:
    lib = Path("/usr/lib/rabbitmq/lib")
    with pytest.raises(LocalError, match=r"^rabbitmq_server-3\.8\.9 is too old: the chat needs"):
        rabbitmq.check_version(lib / "rabbitmq_server-3.8.9/sbin/rabbitmq-server")
    for version in ("3.10.8", "3.13.0", "4.0.5"):
        rabbitmq.check_version(lib / f"rabbitmq_server-{version}/sbin/rabbitmq-server")


def test_a_taken_port_is_refused_with_a_way_out() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(LocalError, match=f"Port {port} is taken: .*PORT=8081 make run"):
            wanted_port(str(port))


@pytest.mark.parametrize("text", ["", "http", "0", "65536", "-1", "80.5"])
def test_a_port_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(LocalError, match="PORT must be a port number"):
        wanted_port(text)


def test_free_ports_lie_below_those_of_outgoing_connections() -> None:
    ports = {free_port() for _ in range(20)}
    assert len(ports) > 1
    assert max(ports) < 32_768


async def test_several_failures_at_once_are_told_together() -> None:
    async def fail(sentence: str) -> None:
        raise LocalError(sentence)

    with pytest.raises(LocalError, match=r"first\.\nsecond\."):
        await together(fail("first."), fail("second."))


def test_a_url_keeps_what_is_not_replaced() -> None:
    url = "postgresql://admin:old@db.example:5433/postgres?sslmode=require"
    assert with_parts(url, user="a/b", password="p:w") == (
        "postgresql://a%2Fb:p%3Aw@db.example:5433/postgres?sslmode=require"
    )
    assert with_parts(url, database="chat") == "postgresql://admin:old@db.example:5433/chat?sslmode=require"
