"""The bench's end of `bench.load.crowd`: many people with a socket each, told what to do step by step."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from bench.world import Load, load


class Crowd:
    """People at their sockets."""

    def __init__(self, program: Load) -> None:
        self._program = program

    async def do(self, step: dict[str, Any], *, within_s: float) -> dict[str, Any]:
        """One step of `bench.load.crowd`; returns what it reports. Raises RuntimeError when it fails."""
        self._program.tell(step)
        return await self._program.event("done", within_s=within_s)


@asynccontextmanager
async def crowd(
    edge_urls: Sequence[str], tokens: Sequence[str], *, views: bool = False
) -> AsyncIterator[Crowd]:
    """One person a token; nobody is connected yet. They are gone afterwards.

    `views`: they keep what they see.
    """
    configuration = {"edge_urls": list(edge_urls), "tokens": list(tokens), "views": views}
    async with load("crowd", configuration) as program:
        yield Crowd(program)
