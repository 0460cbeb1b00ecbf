"""Two people who talk beside all that: every message has to arrive, soon."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import aiohttp
import orjson

from bench.world import Pair
from tests.fuzz.report import Report
from tests.support.rawsocket import RawSocket

_EVERY_S = 0.05
_WITHIN_S = 20.0


class Neighbours:
    """`pair`: one sends over REST, the other listens. `run` until `stop` is set; then `judge`."""

    def __init__(self, edge_url: str, pair: Pair, report: Report) -> None:
        self._edge_url = edge_url
        self._pair = pair
        self._report = report
        self._sent: dict[str, float] = {}
        self._took: list[float] = []
        self.stop = asyncio.Event()

    async def run(self) -> None:
        headers = {"Authorization": f"Bearer {self._pair.receiver_token}"}
        raw = await RawSocket.connect(f"{self._edge_url}/ws/chat", headers)
        listening = asyncio.create_task(self._listen(raw))
        try:
            async with aiohttp.ClientSession() as http:
                while not self.stop.is_set():
                    await self._send(http)
                    await asyncio.sleep(_EVERY_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(_WITHIN_S):
                    while self._sent and not listening.done():
                        await asyncio.sleep(0.02)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            raw.abort()

    def judge(self) -> None:
        """Notes what did not arrive."""
        took = sorted(self._took)
        self._report.counts["neighbours' messages told"] = len(took)
        if took:
            self._report.counts["neighbours' p99, ms"] = round(took[int(len(took) * 0.99)] * 1000)
        if self._sent or not took:
            self._report.note(f"{len(self._sent)} messages of the neighbours did not arrive, {len(took)} did")

    async def _send(self, http: aiohttp.ClientSession) -> None:
        mark = f"{len(self._sent) + len(self._took)}-{time.monotonic_ns()}"
        self._sent[mark] = time.monotonic()
        url = f"{self._edge_url}/v1/conversations/{self._pair.conversation_id}/messages"
        headers = {"Authorization": f"Bearer {self._pair.sender_token}"}
        body = {"clientMessageId": mark, "text": "to the neighbour"}
        async with http.post(url, json=body, headers=headers) as answer:
            if answer.status != 201:
                self._report.note(f"a neighbour's send was answered {answer.status}")
                del self._sent[mark]

    async def _listen(self, raw: RawSocket) -> None:
        while True:
            opcode, payload = await raw.receive()
            if opcode == 9:
                raw.send(b"\x8a\x80\x00\x00\x00\x00")
            elif opcode == 1:
                frame = orjson.loads(payload)
                if frame["type"] == "message.created":
                    began = self._sent.pop(frame["data"]["message"]["clientMessageId"], None)
                    if began is not None:
                        self._took.append(time.monotonic() - began)
            elif opcode == 8:
                self._report.note(f"the neighbour's socket was closed with {payload!r}")
                return
