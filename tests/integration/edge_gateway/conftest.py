"""One issuer and two edges for the package; a test that needs other settings runs an edge of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
import redis.asyncio as redis
from aiohttp import ClientSession, TCPConnector

from servicekit.realtime import RealtimePublisher
from tests.support.edge import Edge, run_beside, run_edge
from tests.support.issuer import Issuer, run_issuer
from tests.support.keys import Keys


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def issuer() -> AsyncIterator[Issuer]:
    async with run_issuer() as running:
        yield running


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def edge(keys: Keys, redis_url: str, issuer: Issuer) -> AsyncIterator[Edge]:
    async with run_edge(keys, redis_url, issuer) as running:
        yield running


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def other_edge(edge: Edge) -> AsyncIterator[Edge]:
    """Where others are, and other devices; it stands before the same services."""
    async with run_beside(edge) as running:
        yield running


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession(connector=TCPConnector(limit=0)) as session:
        yield session


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def publisher(redis_url: str) -> AsyncIterator[redis.Redis]:
    client = redis.Redis.from_url(redis_url)
    yield client
    await client.aclose()


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def service(redis_url: str) -> AsyncIterator[RealtimePublisher]:
    publisher = RealtimePublisher(redis_url)
    yield publisher
    await publisher.close()
