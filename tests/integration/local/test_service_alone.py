"""Each service starts from a folder that holds only servicekit, the generated contracts and that service."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local.child import Child
from deploy.local.folders import CHECKOUT
from deploy.local.ports import LOOPBACK, free_port
from deploy.local.program import Probe, grpc_serving, http_ok, until
from deploy.local.system import CALLERS, SERVICES
from servicekit.identity import write_keys
from tests.support.backing import MakeDatabase

DEPLOYED = (*SERVICES, "edge_gateway")


@dataclass(frozen=True)
class Aside:
    """A service copied aside. Its interpreter sees the installed packages and the copy alone."""

    service: str
    folder: Path
    environment: dict[str, str]

    @classmethod
    def copy(cls, service: str, folder: Path, settings: dict[str, str]) -> Aside:
        for name in ("servicekit", "protos/gen", service):
            shutil.copytree(CHECKOUT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        packages = sysconfig.get_path("purelib")
        path = os.pathsep.join([str(folder), str(folder / "protos/gen"), packages])
        return cls(service, folder, {"PATH": os.environ["PATH"], "PYTHONPATH": path, **settings})

    def command(self, *arguments: str) -> list[str]:
        # -S: the .pth file that puts the checkout itself on the path is not read.
        return [sys.executable, "-S", *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            check=False,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )


async def serves(aside: Aside, probe: Probe) -> None:
    child = Child.spawn(
        aside.service,
        aside.command("-m", aside.service, "serve"),
        log=aside.folder / "log",
        env=aside.environment,
        cwd=aside.folder,
    )
    try:
        await until(probe, child)
    finally:
        assert await child.stop() == 0, child.tail()
    logged = [json.loads(line) for line in (aside.folder / "log").read_text().splitlines()]
    assert [line["port"] > 0 for line in logged if line["event"] == "serving"] == [True]


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_starts_alone(
    service: str, tmp_path: Path, make_database: MakeDatabase, redis_url: str, amqp_url: str
) -> None:
    write_keys(tmp_path / "keys", CALLERS)
    target = f"{LOOPBACK}:{free_port()}"
    settings = {
        "DATABASE_URL": await (await make_database()).url(service),
        "REDIS_URL": redis_url,
        "AMQP_URL": amqp_url,
        "GRPC_PORT": target.rpartition(":")[2],
        "SERVICE_KEY_FILE": str(tmp_path / f"keys/{service}.pem"),
        "SERVICE_TRUST_FILE": str(tmp_path / "keys/trust.json"),
        "MESSAGE_HASH_KEY": "of this test alone",
    }
    aside = Aside.copy(service, tmp_path / "aside", settings)
    migrated = aside.run("-m", service, "migrate")
    assert migrated.returncode == 0, migrated.stderr
    await serves(aside, grpc_serving(target))


async def test_the_edge_starts_alone(tmp_path: Path, redis_url: str) -> None:
    write_keys(tmp_path / "keys", CALLERS)
    ops_port = free_port()
    settings = {
        "REDIS_URL": redis_url,
        "EDGE_PORT": "0",
        "OPS_PORT": str(ops_port),
        "SERVICE_KEY_FILE": str(tmp_path / "keys/edge_gateway.pem"),
    }
    aside = Aside.copy("edge_gateway", tmp_path / "aside", settings)
    # It takes nobody in before presence_svc has said who is banned, but it is there.
    await serves(aside, http_ok(f"http://{LOOPBACK}:{ops_port}/livez"))


@pytest.mark.parametrize("verb", ["migrate", "serve"])
@pytest.mark.parametrize("service", SERVICES)
def test_without_its_postgres_a_service_says_so_in_one_line(service: str, verb: str, tmp_path: Path) -> None:
    write_keys(tmp_path / "keys", CALLERS)
    where = f"{LOOPBACK}:{free_port()}"
    settings = {
        "DATABASE_URL": f"postgresql://chat:hunter2@{where}/chat",
        "GRPC_PORT": "0",
        "SERVICE_KEY_FILE": str(tmp_path / f"keys/{service}.pem"),
        "SERVICE_TRUST_FILE": str(tmp_path / "keys/trust.json"),
        "MESSAGE_HASH_KEY": "of this test alone",
    }
    result = Aside.copy(service, tmp_path / "aside", settings).run("-m", service, verb)
    (line,) = (result.stdout + result.stderr).splitlines()
    told = json.loads(line)
    assert (result.returncode, told["event"]) == (1, "cannot start")
    assert told["error"].startswith("DATABASE_URL: ")
    assert "hunter2" not in line


@pytest.mark.parametrize("service", DEPLOYED)
def test_what_is_not_copied_is_not_there(service: str, tmp_path: Path) -> None:
    aside = Aside.copy(service, tmp_path, {})
    for other in ({*DEPLOYED, "deploy", "chatctl", "tests"}) - {service}:
        result = aside.run("-c", f"import {other}")
        assert f"No module named '{other}'" in result.stderr
