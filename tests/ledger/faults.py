"""What goes wrong in a round. Each kind kills by process id and returns what brings it back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping

from redis.asyncio import Redis

from tests.ledger.world import World, any_edge

Heal = Callable[[], Coroutine[None, None, None]]
"""Returns when what was killed serves again."""
Strike = Callable[[World, random.Random], Awaitable[Heal]]

# How long what was killed stays away, at most.
LONGEST_OUTAGE = 2.0


async def _edge(world: World, chance: random.Random) -> Heal:
    return _kill(world, any_edge(world, chance))


async def _message_svc(world: World, _chance: random.Random) -> Heal:
    return _kill(world, "message_svc")


async def _conversation_svc(world: World, _chance: random.Random) -> Heal:
    return _kill(world, "conversation_svc")


async def _redis(world: World, _chance: random.Random) -> Heal:
    return _kill_server(world, "Redis")


async def _postgres(world: World, _chance: random.Random) -> Heal:
    return _kill_server(world, "Postgres")


async def _rabbitmq(world: World, _chance: random.Random) -> Heal:
    return _kill_server(world, "RabbitMQ")


async def _flushall(world: World, _chance: random.Random) -> Heal:
    client = Redis.from_url(world.redis_url)
    await client.flushall()
    await client.aclose()

    async def heal() -> None:
        """Nothing is away."""

    return heal


async def _mixed(world: World, chance: random.Random) -> Heal:
    """Two or three of the others, one shortly after the other."""
    chosen = chance.sample(
        [strike for name, strike in KINDS.items() if name != "mixed"], chance.choice((2, 3))
    )
    heals = []
    for strike in chosen:
        if strike is _flushall and any(other is _redis for other in chosen):
            continue
        heals.append(await strike(world, chance))
        await asyncio.sleep(chance.uniform(0, 0.3))

    async def heal() -> None:
        await asyncio.gather(*(each() for each in heals))

    return heal


KINDS: Mapping[str, Strike] = {
    "edge": _edge,
    "message_svc": _message_svc,
    "conversation_svc": _conversation_svc,
    "redis": _redis,
    "flushall": _flushall,
    "postgres": _postgres,
    "rabbitmq": _rabbitmq,
    "mixed": _mixed,
}


def _kill(world: World, name: str) -> Heal:
    world.system.kill(name)
    return lambda: world.system.restart(name)


def _kill_server(world: World, name: str) -> Heal:
    world.backing.kill(name)
    return lambda: world.backing.restart(name)
