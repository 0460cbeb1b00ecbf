"""`make run`: the whole product with its demo, until Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

from deploy.local.backing import Backing
from deploy.local.child import Child
from deploy.local.databases import ensure_database, ensure_services
from deploy.local.errors import LocalError, together
from deploy.local.folders import Folder, open_state, state_path
from deploy.local.named import check_named
from deploy.local.packages import Say
from deploy.local.ports import is_free, reserve
from deploy.local.program import Program, describe
from deploy.local.signals import Signals
from deploy.local.system import SERVICES, Parts, System
from servicekit.settings import listed

_LONGEST_BACKOFF = 15.0
_STEADY_SECONDS = 60.0


async def run(signals: Signals, *, say: Say) -> int:
    """Runs until it is told to stop; then 0. Raises LocalError when it cannot start or loses a server."""
    port = wanted_port(os.environ.get("PORT", "8080"))
    began = time.monotonic()
    folder = open_state(state_path())
    backing = Backing(folder, say=say)
    system: System | None = None
    described = folder.path / "run.json"
    up = False
    try:
        await check_named(os.environ)
        urls = await backing.start()
        system = System(folder, await _parts(folder, urls), edge_port=port)
        say("Starting the services")
        await system.start()
        _write(described, system)
        await _seed(folder, say)
        say(f"Ready after {time.monotonic() - began:.0f} s. Logs: {folder.logs}. Ctrl-C stops it all.")
        print(f"{system.edge_url}/demo/", flush=True)
        up = True
        await _supervise(system, backing, described, say)
    except asyncio.CancelledError:
        if not up or signals.received is None:
            raise
    finally:
        signals.stopping()
        say("Stopping")
        described.unlink(missing_ok=True)
        try:
            if system is not None:
                await system.stop()
        finally:
            await backing.stop()
            folder.close()
    return 0


def wanted_port(text: str) -> int:
    """The port to listen on. Raises LocalError when it is none, or taken."""
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise LocalError(f"PORT must be a port number, not {text!r}.")
    if not is_free(int(text)):
        raise LocalError(
            f"Port {text} is taken: stop what listens there, or choose another with `PORT=8081 make run`."
        )
    reserve(int(text))  # so that no server of ours draws it before the edge listens
    return int(text)


async def _parts(folder: Folder, urls: dict[str, str]) -> Parts:
    """A role and schema for each service: in a database of ours, or in the one that DATABASE_URL names."""
    admin_url = urls["DATABASE_URL"]
    if not os.environ.get("DATABASE_URL"):
        admin_url = await ensure_database(admin_url, "chat")
    databases = await ensure_services(admin_url, folder, SERVICES)
    try:
        origins = listed(os.environ.get("ALLOWED_ORIGINS", ""))
    except ValueError:
        raise LocalError("ALLOWED_ORIGINS is no list: names parted by commas, or JSON.") from None
    return Parts(databases, redis_url=urls["REDIS_URL"], amqp_url=urls["AMQP_URL"], origins=origins)


async def _seed(folder: Folder, say: Say) -> None:
    """Adds the demo's people and conversations. What went wrong is told; the product runs all the same."""
    environment = {**os.environ, "STATE_DIR": str(folder.path)}
    seed = Program("seed", ("deploy.local.seed",), environment=environment, folder=folder)
    try:
        await seed.run_to_end()
    except LocalError as error:
        say(f"The demo has no data: {error}")
    else:
        say(f"Demo data: {seed.running.tail(1)}")


def _write(path: Path, system: System) -> None:
    """Writes run.json, which holds passwords: readable by this user alone, and never half written."""
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(system.describe(), indent=2) + "\n")
    fresh.rename(path)


async def _supervise(system: System, backing: Backing, described: Path, say: Say) -> None:
    """Restarts processes that end, for ever. Raises LocalError when a backing server ends."""
    keepers = [_keep(program, system, described, say) for program in system.programs.values()]
    await together(*keepers, *(_watch(child) for child in backing.children))


async def _keep(program: Program, system: System, described: Path, say: Say) -> None:
    backoff = 0.5
    while True:
        child = program.running
        code = await child.wait()
        child.kill()
        if time.monotonic() - child.started_at > _STEADY_SECONDS:
            backoff = 0.5
        say(f"{program.name} ended {describe(code)}; starting it again in {backoff:g} s. Log: {program.log}")
        await asyncio.sleep(backoff)
        backoff = min(backoff * 2, _LONGEST_BACKOFF)
        program.spawn()
        _write(described, system)


async def _watch(child: Child) -> None:
    code = await child.wait()
    raise LocalError(f"{child.name} ended {describe(code)}; the end of {child.log}:\n{child.tail()}")
