"""A browser's socket: what came over it, each frame held against the contract on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
from aiohttp import WSMsgType

from tests.support import contract

Json = dict[str, Any]
PATIENCE = 60.0


@dataclass
class Live:
    """A socket and all that came over it."""

    socket: aiohttp.ClientWebSocketResponse
    edge_url: str
    frames: list[Json] = field(default_factory=list)
    failure: BaseException | None = None
    checked: bool = True
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    ended: bool = False

    async def read(self) -> None:
        """Reads until it is closed."""
        try:
            async for message in self.socket:
                assert message.type is WSMsgType.TEXT
                frame = orjson.loads(message.data)
                if self.checked:
                    contract.check_frame(frame)
                await self._note(frame)
        except AssertionError as error:
            self.failure = error
        self.ended = True
        await self._note(None)

    async def _note(self, frame: Json | None) -> None:
        async with self._news:
            if frame is not None:
                self.frames.append(frame)
            self._news.notify_all()

    @property
    def cursor(self) -> str | None:
        """The last one seen."""
        return next((frame["cursor"] for frame in reversed(self.frames) if "cursor" in frame), None)

    @property
    def replayed(self) -> list[Json]:
        """What came between the welcome and `system.caught_up`."""
        types = [frame["type"] for frame in self.frames]
        return self.frames[1 : types.index("system.caught_up")]

    @property
    def welcome(self) -> Json:
        """The first frame's data."""
        assert self.frames[0]["type"] == "system.welcome"
        data: Json = self.frames[0]["data"]
        return data

    async def frame(self, name: str, such: Callable[[Json], bool] = lambda _frame: True) -> Json:
        """The first frame of that type (and such), waited for."""
        return await self._first(lambda each: each["type"] == name and such(each), name)

    async def reply(self, to: str) -> Json:
        """The `ack` or `error` of what was said with that id, waited for."""
        return await self._first(lambda each: each.get("replyTo") == to, f"a reply to {to}")

    async def _first(self, such: Callable[[Json], bool], name: str) -> Json:
        def found() -> Json | None:
            return next((each for each in self.frames if such(each)), None)

        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: self.ended or found() is not None)
        if self.failure is not None:
            raise self.failure
        frame = found()
        assert frame is not None, f"closed with {self.socket.close_code} before {name}: {self.frames}"
        return frame

    async def closed(self) -> int | None:
        """The close code, waited for."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: self.ended)
        if self.failure is not None:
            raise self.failure
        return self.socket.close_code

    async def say(self, **frame: object) -> None:
        """Sends a frame."""
        await self.socket.send_str(orjson.dumps(frame).decode())
