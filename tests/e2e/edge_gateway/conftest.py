"""People of the one running system."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from aiohttp import ClientSession, TCPConnector

from deploy.local.system import System
from tests.support.people import Town


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def town(system: System) -> AsyncIterator[Town]:
    async with ClientSession(connector=TCPConnector(limit=0)) as http:
        yield Town(http, [edge.url for edge in system.edges], system.issuer_url)
