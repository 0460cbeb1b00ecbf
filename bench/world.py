"""A whole system on servers of its own, with people and conversations to load it with."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aio_pika
import aiohttp
import asyncpg

from bench import cpu
from chatctl.rest import ProblemError, Rest
from deploy.local.backing import Backing
from deploy.local.databases import ensure_database, ensure_services
from deploy.local.folders import CHECKOUT, open_temporary
from deploy.local.issuer.claims import TokenRequest, claims_for
from deploy.local.issuer.keys import SigningKey
from deploy.local.issuer.settings import IssuerSettings
from deploy.local.packages import Say
from deploy.local.system import AUDIENCE, SERVICES, Parts, System

# Limits stay in force and are counted as ever; they only allow more than anybody can do.
_LIMITS = {f"RATE_{kind}": "1000000/10" for kind in ("SEND", "START", "READ", "OTHER", "CONNECT", "FRAMES")}
_SEEDS_AT_ONCE = 16
_ATTEMPTS, _PAUSE_S = 10, 1.0
_QUEUE = "conversation_svc.mail"


@dataclass(frozen=True)
class Pair:
    """Two people with an accepted conversation."""

    conversation_id: str
    sender: str
    receiver: str
    sender_token: str
    receiver_token: str


@dataclass
class World:
    """What is measured."""

    folder: Path
    system: System
    backing: Backing
    admin_url: str
    databases: Mapping[str, str]
    redis_url: str
    amqp_url: str
    edge_urls: Sequence[str]
    """Of the edges that were started with it, over which people are spread."""
    _key: SigningKey
    _issuer: IssuerSettings
    _pairs: list[Pair] = field(default_factory=list)

    def token(self, user_id: str, role: str = "candidate") -> str:
        """A token of the development issuer, good for a day."""
        wanted = TokenRequest.model_validate({"userId": user_id, "role": role, "expiresIn": 86_400})
        return self._key.sign(claims_for(wanted, self._issuer, now=int(time.time())))

    def tokens(self, name: str, number: int) -> list[str]:
        """Tokens of as many people, `<name>-0` and so on; one costs a millisecond."""
        return [self.token(f"{name}-{index}") for index in range(number)]

    def roots(self) -> dict[str, int]:
        """Every process of ours by name; each with what it has started."""
        found = {name: program.running.pid for name, program in self.system.programs.items()}
        return found | {child.name: child.pid for child in self.backing.children}

    async def owed(self) -> dict[str, int]:
        """What has not followed yet from what was stored: rows of the outboxes, and messages in queues."""
        conn = await asyncpg.connect(self.admin_url)
        try:
            rows: int = await conn.fetchval(
                "SELECT (SELECT count(*) FROM message_svc.outbox_realtime)"
                " + (SELECT count(*) FROM message_svc.outbox_bus)"
            )
        finally:
            await conn.close()
        connection = await aio_pika.connect(self.amqp_url)
        async with connection:
            channel = await connection.channel()
            queue = await channel.get_queue(_QUEUE, ensure=True)
            waiting = queue.declaration_result.message_count or 0
        return {"outbox": rows, "queue": waiting}

    async def pairs(self, number: int) -> Sequence[Pair]:
        """As many pairs, those of earlier calls among them."""
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=_SEEDS_AT_ONCE)) as http:
            gate = asyncio.Semaphore(_SEEDS_AT_ONCE)

            async def make(index: int) -> Pair:
                async with gate:
                    return await self._pair(http, index)

            self._pairs += await asyncio.gather(*(make(index) for index in range(len(self._pairs), number)))
        return self._pairs[:number]

    async def _pair(self, http: aiohttp.ClientSession, index: int) -> Pair:
        sender, receiver = f"recruiter-{index}", f"candidate-{index}"
        tokens = self.token(sender, "recruiter"), self.token(receiver)
        left, right = (Rest(http, self.system.edge_url, token) for token in tokens)
        await _answered(right, "GET", "/me")  # who never looked in cannot be written to
        body = {"recipientId": receiver, "message": {"clientMessageId": "first", "text": "Good morning."}}
        created = await _answered(left, "POST", "/conversations", body)
        conversation_id = str(created["conversation"]["id"])
        await _answered(right, "POST", f"/conversations/{conversation_id}/accept", {})
        return Pair(conversation_id, sender, receiver, *tokens)


async def _answered(rest: Rest, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The body of what can be repeated; a machine at other work may say 503 for a while."""
    left = _ATTEMPTS
    while True:
        left -= 1
        try:
            _, answer = await rest.request(method, path, body)
            return answer or {}
        except ProblemError as error:
            if error.status != 503 or not left:
                raise
        await asyncio.sleep(_PAUSE_S)


@asynccontextmanager
async def running(
    say: Say, overrides: Mapping[str, Mapping[str, str]] | None = None, *, cores: Sequence[int] = ()
) -> AsyncIterator[World]:
    """Starts everything and ends it. `overrides`: more settings, by program name; `cores`: see `Parts`."""
    folder = open_temporary()
    backing = Backing(folder, say=say, environ={})
    system: System | None = None
    try:
        urls = await backing.start()
        admin_url = await ensure_database(urls["DATABASE_URL"], "chat")
        databases = await ensure_services(admin_url, folder, SERVICES)
        given = {"edge_gateway": _LIMITS}
        for name, settings in (overrides or {}).items():
            given[name] = {**given.get(name, {}), **settings}
        system = System(folder, Parts(databases, urls["REDIS_URL"], urls["AMQP_URL"], given, cores=cores))
        await system.start()
        issuer = IssuerSettings(url=system.issuer_url, audience=AUDIENCE, keys_dir=folder.path / "issuer")
        key = SigningKey.load_or_make(folder.path / "issuer")
        yield World(
            folder.path,
            system,
            backing,
            admin_url,
            databases,
            urls["REDIS_URL"],
            urls["AMQP_URL"],
            [edge.url for edge in system.edges],
            key,
            issuer,
        )
    finally:
        if system is not None:
            await system.stop()
        await backing.stop()
        folder.close()


class Load:
    """A load program in a process of its own: one line in, lines out (see `bench.load.program`)."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self._name = name
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def event(self, name: str, *, within_s: float) -> dict[str, Any]:
        """Waits for a line of that event. Raises RuntimeError when the program ended or is late."""
        if self._process.stdout is None:
            raise RuntimeError("no stdout")
        async with asyncio.timeout(within_s):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"load program {self._name} ended")
        told: dict[str, Any] = json.loads(line)
        if told.pop("event") != name:
            raise RuntimeError(f"load program {self._name} said {line!r}, not {name}")
        return told

    def go_on(self) -> None:
        """Ends its `wait`."""
        self._write(b"\n")

    def tell(self, what: object) -> None:
        """One more `configuration`."""
        self._write(json.dumps(what).encode() + b"\n")

    def _write(self, line: bytes) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(line)


@asynccontextmanager
async def load(name: str, configuration: object) -> AsyncIterator[Load]:
    """Runs `bench.load.<name>` with a configuration; it is gone afterwards."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"bench.load.{name}",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=CHECKOUT,
        limit=64 * 1024 * 1024,
    )
    try:
        if process.stdin is not None:
            process.stdin.write(json.dumps(configuration).encode() + b"\n")
        yield Load(name, process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Cost:
    """CPU by process over a stretch of time."""

    def __init__(self, roots: Mapping[str, int]) -> None:
        self._roots = dict(roots)
        self._began = cpu.cpu_s(self._roots)
        self._busy = cpu.busy_s()
        self._at = time.monotonic()

    def per(self, units: int) -> dict[str, float]:
        """Microseconds of each process for one of `units`, since the beginning; idle ones are left out."""
        now = cpu.cpu_s(self._roots)
        return {
            name: round((now[name] - self._began[name]) * 1e6 / max(1, units), 1)
            for name in self._roots
            if now[name] - self._began[name] > 0.005
        }

    def elsewhere_cores(self) -> float:
        """How many cores were at work for others since the beginning; a figure taken then is theirs too."""
        own = sum(cpu.cpu_s(self._roots).values()) - sum(self._began.values())
        return round(max(0.0, cpu.busy_s() - self._busy - own) / self.elapsed_s, 2)

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._at


__all__ = ["Cost", "Load", "Pair", "World", "load", "running"]
