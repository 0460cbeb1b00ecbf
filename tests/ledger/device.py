"""A device on the WebSocket: every frame goes into the journal, and what may have been missed is loaded."""

from __future__ import annotations

import asyncio
import random
from urllib.parse import quote

import aiohttp
import orjson
from aiohttp import WSMsgType

from tests.ledger.journal import Journal, Json
from tests.ledger.model import Model
from tests.ledger.person import AWAY, FOLDERS, Edges, NotAnsweredError, Reader


class Device:
    """Keeps connected, coming back as the contract's clients do. Drops its socket now and then by itself."""

    def __init__(self, name: str, reader: Reader, edges: Edges, *, journal: Journal, chance: random.Random):
        self.name = name
        self.model = Model(reader.user)
        self.settled = asyncio.Event()
        """Set when no socket is to be dropped any more."""
        self._reader = reader
        self._edges = edges
        self._journal = journal
        self._chance = chance
        self._whole = False
        """Whether all that was to be loaded is: only then its cursor says where to go on."""

    async def run(self) -> None:
        """For ever."""
        pause = 0.1
        while True:
            try:
                await self._live()
                pause = 0.1
            except AWAY:
                self._edges.turn()
            await asyncio.sleep(self._chance.uniform(0.02, pause))
            pause = min(2.0, pause * 2)

    async def _live(self) -> None:
        known = self.model.cursor if self._whole else None
        cursor = f"?cursor={quote(known)}" if known else ""
        async with self._reader.http.ws_connect(
            f"{self._edges.url}/ws/chat{cursor}",
            protocols=["chat.v1", f"bearer.{self._reader.token}"],
            headers={"Origin": self._edges.url},
            timeout=aiohttp.ClientWSTimeout(ws_close=1),
        ) as socket:
            self._note("opened", user=self._reader.user)
            loading: asyncio.Task[None] | None = None
            dropping = asyncio.create_task(self._drop(socket))
            try:
                async for message in socket:
                    if message.type is not WSMsgType.TEXT:
                        break
                    frame = orjson.loads(message.data)
                    self._note("frame", frame=frame)
                    if frame["type"] == "system.welcome":
                        self._note("reloading")
                        self._whole = False
                        loading = asyncio.create_task(self._load(frame["data"]))
            finally:
                for task in (loading, dropping):
                    if task is not None:
                        task.cancel()
                self._note("closed", code=socket.close_code)

    async def _drop(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        await asyncio.sleep(self._chance.uniform(0.5, 8))
        if not self.settled.is_set():
            await socket.close()

    async def _load(self, welcome: Json) -> None:
        """What the welcome does not vouch for is loaded, as often as it takes."""
        while True:
            try:
                await self._load_once(welcome)
            except (*AWAY, NotAnsweredError):
                self._reader.edges.turn()
                await asyncio.sleep(self._chance.uniform(0.05, 0.5))
            else:
                return

    async def _load_once(self, welcome: Json) -> None:
        if welcome["resumed"]:
            conversations = await self._changed(welcome["watchList"])
        else:
            conversations = await self._everything(welcome["watchList"])
        messages = {}
        for conversation in conversations:
            key = conversation["id"]
            known = self.model.threads[key].loaded_to if key in self.model.threads else 0
            if conversation["changeSeq"] > known:
                messages[key] = await self._reader.changes_after(key, known)
        self._note("reloaded", conversations=conversations, messages=messages)
        self._whole = True

    async def _everything(self, watch_list: list[Json]) -> list[Json]:
        """All folders, and what moved from a folder not yet read into one that was."""
        listed = [
            item for name in FOLDERS for item in await self._reader.all_of(f"/conversations?folder={name}")
        ]
        seen = {item["id"] for item in listed}
        for row in watch_list:
            if row["conversationId"] not in seen and not row.get("removed"):
                listed.append(await self._reader.get(f"/conversations/{row['conversationId']}"))
        return listed

    async def _changed(self, watch_list: list[Json]) -> list[Json]:
        """The conversations whose row in the watch list says more than is known here."""
        changed = []
        for row in watch_list:
            thread = self.model.threads.get(row["conversationId"])
            if row.get("removed"):
                continue
            known = thread is not None and (
                thread.version,
                thread.change_seq,
                thread.last_read_seq,
            ) == (row["version"], row["changeSeq"], row["lastReadSeq"])
            if not known:
                changed.append(await self._reader.get(f"/conversations/{row['conversationId']}"))
        return changed

    def _note(self, kind: str, **fields: object) -> None:
        self.model.take(self._journal.note(kind, device=self.name, **fields))
