"""Where local data lives: the state folder of `make run`, and folders thrown away after tests.

A folder in use is locked by the process that uses it. The kernel lets go of the lock when that process dies,
however it dies, so a later start knows what is left over.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import stat
import tempfile
import uuid
from pathlib import Path

from deploy.local.child import Ledger
from deploy.local.errors import LocalError

CHECKOUT = Path(__file__).resolve().parents[2]
_SYSTEM_HOME = Path("/var/lib/splits-network-chat")


class Folder:
    """A locked folder and the ledger of the processes that live in it."""

    def __init__(self, path: Path, lock: int, *, durable: bool):
        self.path = path
        self.durable = durable
        self.ledger = Ledger(path / "pids")
        self.logs = path / "log"
        """Of this run: those of an earlier one are removed."""
        self._lock = lock
        self.ledger.end_leftovers()
        if self.logs.exists():
            shutil.rmtree(self.logs)
        self.logs.mkdir()

    def data_home(self) -> Path:
        """Where servers keep their files: this folder, if the postgres user can reach it.

        As root Postgres runs as another user, who enters no 0700 parent (`/root`, a `mktemp -d`).
        """
        if os.geteuid() != 0 or _reachable(self.path):
            return self.path
        mark = self.path / "data-id"
        if not mark.exists():
            mark.write_text(uuid.uuid4().hex)
        home = _SYSTEM_HOME / mark.read_text()
        home.mkdir(parents=True, exist_ok=True)
        (home / "belongs-to").write_text(str(mark))
        return home

    def close(self) -> None:
        """Lets go of the folder; a folder that is not durable disappears."""
        if self.durable:
            os.close(self._lock)
        else:
            self.remove()

    def remove(self) -> None:
        """Removes the folder, and its data where that lies elsewhere."""
        home = self.data_home()
        # Renamed first: a folder half removed has lost its lock file, and another start that looks for
        # leftovers would lock it anew and remove it beside us.
        gone = self.path.with_name(f"gone-{self.path.name}")
        shutil.rmtree(gone, ignore_errors=True)  # of one that was killed here
        self.path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)  # what it cannot remove, the next one does
        if home != self.path:
            shutil.rmtree(home)
        os.close(self._lock)


def make_secret(folder: Folder, name: str) -> str:
    """A secret kept with the state: made once, whole or not at all, readable by this user alone."""
    path = folder.path / name
    if not path.exists():
        draft = folder.path / f"{name}.new"
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(32))
        draft.rename(path)
    return path.read_text()


def state_path() -> Path:
    """The state folder: `STATE_DIR`, else `.state` in the checkout."""
    named = os.environ.get("STATE_DIR")
    return Path(named).resolve() if named else CHECKOUT / ".state"


def open_state(path: Path) -> Folder:
    """Locks the state folder for one running system and ends what a killed one left running.

    Raises LocalError when another process uses it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = lock_file(path / "lock")
    except OSError as error:
        raise LocalError(
            f"The state folder {path} cannot be used ({error.strerror}): set STATE_DIR to one that can."
        ) from None
    if lock is None:
        raise LocalError(f"The state folder {path} is in use by another run: stop that, or set STATE_DIR.")
    _sweep_system_home()
    return Folder(path, lock, durable=True)


def open_temporary() -> Folder:
    """A new folder for one test run; first removes those whose owner was killed."""
    base = _temporary_base()
    prefix = f"splits-chat-{os.geteuid()}-"
    for path in base.glob(f"{prefix}*"):
        _sweep_temporary(path)
    for path in base.glob(f"gone-{prefix}*"):
        shutil.rmtree(path, ignore_errors=True)  # its owner removes it, or was killed while it did
    # Born under another name and renamed once locked: no other start may take it for a leftover.
    fresh = Path(tempfile.mkdtemp(prefix=f"new-{prefix}", dir=base))
    fresh.chmod(0o755)
    lock = lock_file(fresh / "lock")
    if lock is None:
        raise LocalError(f"The temporary folder {fresh} could not be locked.")
    return Folder(fresh.rename(base / fresh.name.removeprefix("new-")), lock, durable=False)


def lock_file(path: Path) -> int | None:
    """The descriptor that holds this file's lock (made when absent); None when another process has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _sweep_temporary(path: Path) -> None:
    try:
        lock = lock_file(path / "lock")
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return  # another start was quicker, or it was never ours
    if lock is not None:
        Ledger(path / "pids").end_leftovers()
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _sweep_system_home() -> None:
    """Removes data whose state folder is gone or has begun anew."""
    if os.geteuid() != 0 or not _SYSTEM_HOME.exists():
        return
    for home in _SYSTEM_HOME.iterdir():
        owner = home / "belongs-to"
        if not owner.exists():
            continue  # being made by another start right now
        mark = Path(owner.read_text())
        if not mark.exists() or mark.read_text() != home.name:
            shutil.rmtree(home, ignore_errors=True)


def _temporary_base() -> Path:
    base = Path(tempfile.gettempdir())
    return base if os.geteuid() != 0 or _reachable(base) else Path("/tmp")  # noqa: S108 - world-reachable is the point


def _reachable(path: Path) -> bool:
    """Whether any user may walk down to `path`."""
    return all(step.stat().st_mode & stat.S_IXOTH for step in (path, *path.parents))
