"""Which processes belong to something a test started: seen by a word in the environment they inherited."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path


def processes_with(word: str) -> list[str]:
    """`pid command` of each living process whose environment holds `word`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if word.encode() in (folder / "environ").read_bytes():
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found.append(f"{folder.name} {command[:100]}")
        except OSError:
            continue  # ended meanwhile, or another user's
    return found


async def none_left(word: str, seconds: float = 60.0) -> list[str]:
    """Waits until no process holds `word`; returns those that still do after `seconds`."""
    limit = time.monotonic() + seconds
    while (left := processes_with(word)) and time.monotonic() < limit:
        await asyncio.sleep(0.1)
    return left
