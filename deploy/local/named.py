"""Servers that the environment names: told at once, and not by a service that waits for them in vain."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import aio_pika
from aio_pika.exceptions import AMQPError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from deploy.local.errors import LocalError
from deploy.local.redis import OLDEST

_SECONDS = 10.0


async def check_named(environ: Mapping[str, str]) -> None:
    """Raises LocalError when a named Redis or RabbitMQ does not let us in.

    Of Postgres that is told where roles and schemas are made.
    """
    if redis_url := environ.get("REDIS_URL"):
        await _check_redis(redis_url)
    if amqp_url := environ.get("AMQP_URL"):
        await _check_rabbitmq(amqp_url)


async def _check_redis(url: str) -> None:
    try:
        async with Redis.from_url(url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS) as client:
            version = str((await client.info("server"))["redis_version"])
    except (RedisError, OSError, ValueError) as error:
        raise LocalError(
            f"The Redis of REDIS_URL ({_host(url)}) does not let us in: {_sentence(error)}"
        ) from None
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        raise LocalError(f"The Redis of REDIS_URL ({_host(url)}) is version {version}: 6.2 is needed.")


async def _check_rabbitmq(url: str) -> None:
    try:
        connection = await aio_pika.connect(url, timeout=_SECONDS)
    except (AMQPError, OSError, ValueError) as error:
        raise LocalError(
            f"The RabbitMQ of AMQP_URL ({_host(url)}) does not let us in: {_sentence(error)}"
        ) from None
    await connection.close()


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]  # without the password


def _sentence(error: Exception) -> str:
    return f"{str(error).rstrip('.')}."
