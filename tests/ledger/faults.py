"""What goes wrong in a round. Each kind kills by process id and returns what brings it back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass

from redis.asyncio import Redis

from tests.ledger.world import World, any_edge

Heal = Callable[[], Coroutine[None, None, None]]
"""Returns when what was killed serves again."""
Strike = Callable[[World, random.Random], Awaitable[Heal]]

# How long what was killed stays away, at most, unless the kind says otherwise.
LONGEST_OUTAGE = 2.0
DEFAULT_AWAY_SECONDS = 600.0
_STEADY_SECONDS = 60.0


@dataclass(frozen=True)
class Kind:
    """What goes wrong, and how long the load goes on before it and meanwhile."""

    strike: Strike
    before_seconds: float = 0.0
    away_seconds: float | None = None
    """None: a moment."""
    pause: float = 0.08
    """Between two acts of a person, on average."""
    jobs: bool = False
    """Whether the consumers' work is waited for and counted."""

    @property
    def steady(self) -> bool:
        """Whether there is time enough before and meanwhile to compare how long sends take."""
        return self.before_seconds >= _STEADY_SECONDS


async def _edge(world: World, chance: random.Random) -> Heal:
    return _kill(world, any_edge(world, chance))


async def _message_svc(world: World, _chance: random.Random) -> Heal:
    return _kill(world, "message_svc")


async def _conversation_svc(world: World, _chance: random.Random) -> Heal:
    return _kill(world, "conversation_svc")


async def _presence_svc(world: World, _chance: random.Random) -> Heal:
    return _kill(world, "presence_svc")


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
    chosen = chance.sample(_SUDDEN, chance.choice((2, 3)))
    heals = []
    for strike in chosen:
        if strike is _flushall and any(other is _redis for other in chosen):
            continue
        heals.append(await strike(world, chance))
        await asyncio.sleep(chance.uniform(0, 0.3))

    async def heal() -> None:
        await asyncio.gather(*(each() for each in heals))

    return heal


_SUDDEN = [
    _edge,
    _message_svc,
    _conversation_svc,
    _presence_svc,
    _redis,
    _flushall,
    _postgres,
    _rabbitmq,
]


def rabbitmq_away(seconds: float = DEFAULT_AWAY_SECONDS) -> Kind:
    """RabbitMQ is killed and stays away, while people go on and consumers wait for their events.

    People take their time where it is long: the journal is to fit in memory.
    """
    pause = 0.08 if seconds < _STEADY_SECONDS else 0.4
    before = min(_STEADY_SECONDS, seconds)
    return Kind(_rabbitmq, before_seconds=before, away_seconds=seconds, pause=pause, jobs=True)


KINDS: Mapping[str, Kind] = {
    **{strike.__name__.removeprefix("_"): Kind(strike) for strike in (*_SUDDEN, _mixed)},
    "rabbitmq_away": rabbitmq_away(),
}


def _kill(world: World, name: str) -> Heal:
    world.system.kill(name)
    return lambda: world.system.restart(name)


def _kill_server(world: World, name: str) -> Heal:
    world.backing.kill(name)
    return lambda: world.backing.restart(name)
