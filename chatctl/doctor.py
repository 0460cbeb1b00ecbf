"""`chatctl doctor`: is every part of the running system there, and does it work together?"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aio_pika
import aiohttp
import asyncpg
import grpc
import redis.asyncio as redis
from aio_pika.exceptions import AMQPError
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chatctl.rest import ProblemError, Rest, fetch_token
from chatctl.running import Running, run_file
from chatctl.tail import frames
from servicekit.bus import EXCHANGE
from servicekit.migrations import read_migrations

CHECK_S = 10.0
# Older than this the relay should have taken it along: the committing process has 3 s for itself.
LATE = "interval '15 seconds'"
# A lease lapses within a second or two of its time.
SWEPT_S = 5
# Every start seeds this person, so that looking in as them adds nobody.
LOOKER = {"userId": "ingrid.solberg", "role": "moderator"}


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check."""

    name: str
    healthy: bool
    detail: str


class SickError(Exception):
    """A check that failed; the text says what is wrong, without secrets."""


UNREACHABLE = (
    aiohttp.ClientError,
    OSError,
    ValueError,
    redis.RedisError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    AMQPError,
)

Check = tuple[str, Callable[[], Awaitable[str]]]


async def examine(running: Running) -> AsyncGenerator[Finding]:
    """Run every check, one after the other, and yield what each found."""
    yield Finding("run.json", True, str(run_file()))
    async with aiohttp.ClientSession() as session:
        for name, check in _checks(running, session):
            yield await _run(name, check)


def _checks(running: Running, session: aiohttp.ClientSession) -> list[Check]:
    checks: list[Check] = [
        ("issuer keys", partial(_issuer, session, running)),
        ("edge /livez", partial(_get_ok, session, f"{running.ops_url}/livez")),
        ("edge /readyz", partial(_get_ok, session, f"{running.ops_url}/readyz")),
        ("edge REST", partial(_me, session, running)),
        ("edge WebSocket", partial(_welcome, running)),
    ]
    for service, target in running.targets.items():
        checks.append((f"{service} gRPC", partial(_grpc, target)))
    for service, url in running.database_urls.items():
        checks.append((f"{service} schema", partial(_schema, service, url)))
        checks.append((f"{service} outbox", partial(_outbox, service, url)))
    if "conversation_svc" in running.database_urls:
        checks.append(("gates", partial(_gates, running.database_urls["conversation_svc"])))
    if "presence_svc" in running.targets:
        checks.append(("presence", partial(_presence, running.redis_url)))
    checks.append(("Redis", partial(_redis, running.redis_url)))
    checks.append(("RabbitMQ", partial(_rabbitmq, running.amqp_url)))
    return checks


async def _run(name: str, check: Callable[[], Awaitable[str]]) -> Finding:
    """Run one check. A driver's error is named by its kind: its text may hold an address with a password."""
    try:
        async with asyncio.timeout(CHECK_S):
            return Finding(name, True, await check())
    except SickError as sick:
        return Finding(name, False, str(sick))
    except ProblemError as problem:
        return Finding(name, False, f"answers {problem.status} {problem.code}")
    except TimeoutError:
        return Finding(name, False, f"no answer in {CHECK_S:g} s")
    except aiohttp.WSServerHandshakeError as refusal:
        return Finding(name, False, f"refused with {refusal.status}")
    except UNREACHABLE as error:
        return Finding(name, False, f"cannot be reached ({type(error).__name__})")


async def _issuer(session: aiohttp.ClientSession, running: Running) -> str:
    async with session.get(f"{running.issuer_url}/.well-known/jwks.json") as response:
        keys = (await response.json())["keys"] if response.status == 200 else []
    if not keys:
        raise SickError(f"{running.issuer_url} publishes no keys")
    return f"{running.issuer_url}, {len(keys)} published"


async def _get_ok(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(url) as response:
        if response.status != 200:
            raise SickError(f"{url} answers {response.status}")
    return url


async def _me(session: aiohttp.ClientSession, running: Running) -> str:
    """A token of the issuer is accepted and both services answer behind it."""
    rest = Rest(session, running.edge_url, await fetch_token(session, running.issuer_url, dict(LOOKER)))
    began = time.perf_counter()
    await rest.get("/me")
    return f"{running.edge_url}, GET /v1/me in {(time.perf_counter() - began) * 1000:.0f} ms"


async def _welcome(running: Running) -> str:
    began = time.perf_counter()
    async with aclosing(frames(running, dict(LOOKER))) as arriving:
        frame = await anext(arriving)
    if frame["type"] != "system.welcome":
        raise SickError(f"the first frame is {frame['type']}, not the welcome")
    return f"welcomed in {(time.perf_counter() - began) * 1000:.0f} ms"


async def _grpc(target: str) -> str:
    options = [("grpc.enable_http_proxy", 0)]  # one that the environment names is for the web
    async with grpc.aio.insecure_channel(target, options=options) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its stubs declare no methods
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=CHECK_S)
        except grpc.aio.AioRpcError as error:
            raise SickError(f"{target} answers {error.code().name}") from None
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise SickError(f"{target} is {health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}")
    return f"{target} serving"


async def _schema(service: str, url: str) -> str:
    """The newest migration has run, and every one is the file that lies here."""
    spec = find_spec(service)
    if spec is None or not spec.submodule_search_locations:
        raise SickError(f"{service} is not part of this checkout")
    files = read_migrations(Path(spec.submodule_search_locations[0]) / "migrations")
    connection = await asyncpg.connect(url)
    try:
        query = f'SELECT version, checksum FROM "{service}".schema_migrations'  # noqa: S608 - names of ours
        ran = {row["version"]: row["checksum"] for row in await connection.fetch(query)}
        server = connection.get_server_version()
    finally:
        await connection.close()
    missing = [file.name for file in files if ran.get(file.version) != file.checksum]
    if missing:
        raise SickError(f"not as in this checkout: {', '.join(missing)}")
    return f"version {max(ran)} on PostgreSQL {server.major}.{server.micro}"


async def _outbox(service: str, url: str) -> str:
    """Nothing waits for longer than the relay should need. Not every service publishes."""
    if not await _number(url, f"SELECT (to_regclass('\"{service}\".outbox_bus') IS NOT NULL)::int"):
        return "there is none"
    late = " + ".join(
        f'(SELECT count(*) FROM "{service}".{table} WHERE occurred_at < now() - {LATE})'  # noqa: S608 - names are ours
        for table in ("outbox_realtime", "outbox_bus")
    )
    waiting = await _number(url, f"SELECT {late}")
    if waiting:
        raise SickError(f"{waiting} events wait for longer than 15 s")
    return "nothing waits"


async def _gates(url: str) -> str:
    # An attempt that failed is the sweeper's: those still on their way have none.
    query = """SELECT count(*) FROM conversation_svc.conversations
               WHERE gate_pushed < gate_version AND push_attempts > 0"""
    owed = await _number(url, query)
    if owed:
        raise SickError(f"{owed} conversations have rights that message_svc has not confirmed")
    return "all pushed"


async def _number(url: str, query: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval(query))
    finally:
        await connection.close()


async def _presence(url: str) -> str:
    """Nobody's lease lapsed long ago: somebody sweeps. Keys as in `presence_svc/store/states.py`."""
    async with redis.Redis.from_url(url) as client:
        seconds, _ = await client.time()
        shards = [key async for key in client.scan_iter("presence:due:*")]
        overdue = [await client.zcount(key, "-inf", (seconds - SWEPT_S) * 1000) for key in shards]
    if any(overdue):
        raise SickError(f"{sum(overdue)} people should have been told to be gone: does presence_svc sweep?")
    return "all leases swept in time"


async def _redis(url: str) -> str:
    async with redis.Redis.from_url(url) as client:
        info = await client.info()
    policy = info["maxmemory_policy"]
    if policy != "noeviction":
        raise SickError(f"maxmemory-policy is {policy}: events could vanish; it should be noeviction")
    return f"Redis {info['redis_version']}, {info['used_memory_human']} used"


async def _rabbitmq(url: str) -> str:
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, passive=True)
    return f"exchange {EXCHANGE} is there"
