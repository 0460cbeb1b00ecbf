"""A storm: everybody's connection is lost at once, and all come back by the SDK's rule, to the truth.

People are in pairs and go on writing over REST meanwhile, so that who comes back has missed something. Then
what each of them sees is held against what a fresh socket says.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence

import aiohttp

from bench.crowd import Crowd, crowd
from bench.figures import Figure
from bench.scenario import Row, Scenario
from bench.world import Cost, Pair, World
from deploy.local.packages import Say

AT_ONCE = 64
WRITERS = 4
WITHIN_S = 30
_GIVEN_UP_S = 120.0
_TOLD_WITHIN_S = 60.0
_PAUSE_S = 0.01


async def measure(world: World, say: Say, *, short: bool) -> list[Row]:
    """Two rows, over two edges: all connections are reset; one edge is killed, its people go to the other.

    `seconds`: until the last is caught up. RuntimeError when anybody saw another refusal than 503, a send had
    no end, or a view is another than a fresh one.
    """
    number = 1000 if short else 10_000
    other = world.system.edges[1] if len(world.system.edges) > 1 else await world.system.add_edge()
    began = time.monotonic()
    pairs = await world.pairs(number // 2)
    say(f"storm: {len(pairs)} pairs after {time.monotonic() - began:.0f} s")
    tokens = [token for pair in pairs for token in (pair.sender_token, pair.receiver_token)]
    rows = []
    async with crowd([world.system.edge_url, other.url], tokens, views=True) as people:
        await people.do({"connect": AT_ONCE}, within_s=330)
        for form in ("all reset", "an edge killed"):
            writing = _Writing(world.system.edge_url, pairs)
            beside = asyncio.create_task(writing.run())
            try:
                if form == "all reset":
                    await people.do({"drop": True}, within_s=30)
                else:
                    world.system.kill(other.program.name)
                cost = Cost({name: pid for name, pid in world.roots().items() if name != other.program.name})
                told = await people.do({"come_back": _GIVEN_UP_S}, within_s=_GIVEN_UP_S + 30)
                cpu_us = cost.per(told["handshakes"])
            finally:
                writing.stop.set()
                await beside
            row = {"form": form, "sockets": number, **told, "cpu_us": cpu_us, "sends": dict(writing.answers)}
            rows.append({**row, "other_views": await _other_views(world, people)})
            say(f"storm: {rows[-1]}")
            _judge(rows[-1])
    await world.system.restart(other.program.name)
    return rows


class _Writing:
    """People who write over REST until `stop` is set. `answers`: how often each status came."""

    def __init__(self, edge_url: str, pairs: Sequence[Pair]) -> None:
        self._edge_url = edge_url
        self._pairs = pairs
        self._run = random.getrandbits(64)  # no two runs' ids are one
        self.stop = asyncio.Event()
        self.answers: Counter[int] = Counter()

    async def run(self) -> None:
        """Every message is sent until it is stored."""
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(timeout=timeout) as http, asyncio.TaskGroup() as writers:
            for number in range(WRITERS):
                writers.create_task(self._write(http, number))

    async def _write(self, http: aiohttp.ClientSession, writer: int) -> None:
        count = 0
        while not self.stop.is_set():
            pair = random.choice(self._pairs)
            count += 1
            await self._send(http, pair, f"{self._run}-{writer}-{count}")
            await asyncio.sleep(_PAUSE_S)

    async def _send(self, http: aiohttp.ClientSession, pair: Pair, name: str) -> None:
        url = f"{self._edge_url}/v1/conversations/{pair.conversation_id}/messages"
        headers = {"Authorization": f"Bearer {pair.sender_token}"}
        while True:
            body = {"clientMessageId": name, "text": "while you were away"}
            async with http.post(url, json=body, headers=headers) as answer:
                self.answers[answer.status] += 1
                if answer.status in (200, 201):
                    return
                if answer.status != 503:
                    raise RuntimeError(f"a send was answered {answer.status}: {await answer.text()}")
                await asyncio.sleep(float(answer.headers.get("Retry-After", "1")))


async def _other_views(world: World, people: Crowd) -> int:
    """How many people see something else than a fresh socket tells them, once all is told that was sent."""
    async with asyncio.timeout(_TOLD_WITHIN_S):
        while (await world.owed())["outbox"]:  # noqa: ASYNC110 - nothing would set an event
            await asyncio.sleep(0.2)
    await people.do({"rest": 1.0}, within_s=30)  # what has been published is on its way
    told = await people.do({"compare": AT_ONCE}, within_s=330)
    other: int = told["seen"].get("another view", 0)
    return other


def _judge(row: Row) -> None:
    wrong = [why for why in row["seen"] if why.startswith("refused") and why != "refused 503"]
    if wrong:
        raise RuntimeError(f"somebody was {wrong}")
    if row["other_views"]:
        raise RuntimeError(f"{row['other_views']} people see something else than what is true")


def figures(rows: Sequence[Row]) -> list[Figure]:
    """How long until everybody is back."""
    return [
        Figure(
            f"storm, {row['form']}: {row['handshakes']} back and caught up",
            row["seconds"],
            "s",
            at_most=WITHIN_S,
        )
        for row in rows
    ]


SCENARIO = Scenario("storm", "everybody's connection is lost at once, and all come back", measure, figures)
