"""A system of its own, with two edges: nobody is limited, and requests end as soon as their time is over."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest_asyncio
import redis.asyncio as redis
from aiohttp import ClientSession, TCPConnector

from deploy.local.folders import open_temporary
from deploy.local.system import SERVICES, Parts, System
from tests.support.backing import MakeDatabase
from tests.support.people import Town
from tests.support.privacy_world import World, make_world

UNLIMITED = ("SEND", "START", "READ", "OTHER", "CONNECT", "FRAMES", "FRAMES_USER")


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def world(make_database: MakeDatabase, redis_url: str, amqp_url: str) -> AsyncIterator[World]:
    """Everybody, in conversations of every state; who starts is on one edge, the others on the other."""
    database = await make_database()
    databases = {service: await database.url(service) for service in SERVICES}
    overrides = {
        "conversation_svc": {"EXPIRE_SECONDS": "0.2"},
        # What is told of somebody is what they did just now.
        "presence_svc": {"PRESENCE_SETTLE_SECONDS": "0"},
        "edge_gateway": {**{f"RATE_{name}": "off" for name in UNLIMITED}, "WS_TYPING_EVERY_MS": "0"},
    }

    async def expire(conversations: list[str]) -> None:
        admin = await asyncpg.connect(database.admin_url)
        try:
            await admin.execute(
                "UPDATE conversation_svc.conversations SET expires_at = now() WHERE id = ANY ($1)",
                [uuid.UUID(each) for each in conversations],
            )
        finally:
            await admin.close()

    async with AsyncExitStack() as stack:
        folder = open_temporary()
        stack.callback(folder.close)
        system = System(folder, Parts(databases, redis_url=redis_url, amqp_url=amqp_url, overrides=overrides))
        stack.push_async_callback(system.stop)
        await system.start()
        other = await system.add_edge()
        http = await stack.enter_async_context(ClientSession(connector=TCPConnector(limit=0)))
        marker = redis.Redis.from_url(redis_url)
        stack.push_async_callback(marker.aclose)
        sides = {"initiator": system.edge_url, "recipient": other.url}
        town = Town(http, tuple(sides.values()), system.issuer_url)
        yield await make_world(stack, town, sides, marker, expire)
