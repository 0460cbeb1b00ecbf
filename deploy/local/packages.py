"""Debian packages of the backing servers: what is there, and installing what is not.

Nothing that gets installed may start by itself: for the duration `policy-rc.d` forbids it, and what stood
there before is put back, also by the next run when this one is killed in between.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import LocalError
from deploy.local.folders import lock_file

Say = Callable[[str], None]

INSTALL_LOCK = Path("/run/lock/splits-network-chat-install")
_MARK = "# splits-network-chat: no server starts while its package is installed"
_LOCK_WAIT = "-oDPkg::Lock::Timeout=300"


@dataclass(frozen=True)
class Need:
    """A package, and how to see that it (or the same software from elsewhere) is present."""

    package: str
    present: Callable[[], bool]
    variable: str | None
    """The environment variable that may name a server of that kind instead."""


async def ensure(needs: Sequence[Need], *, say: Say, uid: int | None = None) -> None:
    """Installs what is missing, as user `uid` (default: ours). Raises LocalError when it cannot."""
    missing = [need for need in needs if not need.present()]
    if not missing:
        return
    packages = " ".join(need.package for need in missing)
    if (os.geteuid() if uid is None else uid) != 0:
        variables = " and ".join(need.variable for need in missing if need.variable)
        instead = f", or let {variables} name servers" if variables else ""
        raise LocalError(f"Not installed: {packages}. Run `sudo apt-get install {packages}` once{instead}.")
    if shutil.which("apt-get") is None:
        raise LocalError(f"Not installed, and there is no apt-get to install it with: {packages}.")
    async with _one_installer(say):
        missing = [need for need in needs if not need.present()]  # another run may just have done it
        if missing:
            await _install([need.package for need in missing], say=say)
    absent = " ".join(need.package for need in missing if not need.present())
    if absent:
        raise LocalError(f"Installed, but its programs were not found: {absent}.")


async def _install(packages: Sequence[str], *, say: Say) -> None:
    say(f"Installing {', '.join(packages)} (once; Debian packages)")
    with no_service_starts():
        if not _has_package_lists():
            await _apt(["update"], say=say)
        install = ["install", "--yes", "--no-install-recommends", *packages]
        if await _apt(install, say=say) == 0:
            return
        say("  the package lists may be old: updating them")
        await _apt(["update"], say=say)
        if await _apt(install, say=say) != 0:
            raise LocalError(f"`apt-get install {' '.join(packages)}` failed; its own lines above say why.")


def _has_package_lists() -> bool:
    return any(Path("/var/lib/apt/lists").glob("*_Packages*"))


async def _apt(arguments: Sequence[str], *, say: Say) -> int:
    """Runs apt-get and passes on the lines that show progress, and all that is said when it fails."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    process = subprocess.Popen(  # noqa: S603, ASYNC220 - read through the loop below
        ["apt-get", "--quiet", _LOCK_WAIT, *arguments],  # noqa: S607 - apt-get is where PATH says
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )
    lines: list[str] = []

    def follow() -> int:
        for line in process.stdout or ():
            lines.append(line.rstrip())
            if line.startswith(("Get:", "Setting up ")):
                say(f"  {line.strip()}")
        return process.wait()

    code = await _uninterrupted(asyncio.to_thread(follow), say)
    if code != 0:
        for line in lines[-15:]:
            say(f"  apt-get: {line}")
    return code


async def _uninterrupted(work: Coroutine[None, None, int], say: Say) -> int:
    """Awaits `work` to its end even when cancelled: a package left half unpacked would break the next run."""
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as reason:
            if task.cancelled():
                raise
            if cancelled is None:
                say("  finishing the package installation before stopping")
            cancelled = reason
    if cancelled is not None:
        raise cancelled
    return task.result()


@contextmanager
def no_service_starts(policy: Path = Path("/usr/sbin/policy-rc.d")) -> Iterator[None]:
    """Forbids package scripts to start services while inside."""
    kept = policy.with_name("policy-rc.d.before-splits-chat")
    _restore(policy, kept)
    if policy.exists():
        policy.rename(kept)
    policy.write_text(f"#!/bin/sh\n{_MARK}\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        _restore(policy, kept)


def _restore(policy: Path, kept: Path) -> None:
    if policy.exists() and _MARK in policy.read_text(errors="replace"):
        policy.unlink()
    if kept.exists():
        kept.rename(policy)


@asynccontextmanager
async def _one_installer(say: Say) -> AsyncIterator[None]:
    lock = lock_file(INSTALL_LOCK)
    if lock is None:
        say("Another run is installing packages: waiting for it")
    while lock is None:
        await asyncio.sleep(0.2)
        lock = lock_file(INSTALL_LOCK)
    try:
        yield
    finally:
        os.close(lock)
