"""The only place that wires presence_svc together."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import asyncpg
from splits.chat.presence.v1 import service_pb2_grpc

from presence_svc.rpc import PresenceServicer
from presence_svc.settings import PresenceSettings
from servicekit.db import connect_pool
from servicekit.grpc_server import GrpcServer
from servicekit.identity import Trust
from servicekit.migrations import migrate as run_migrations

SERVICE = "presence_svc"
MIGRATIONS = Path(__file__).with_name("migrations")


async def migrate(settings: PresenceSettings) -> list[str]:
    """Brings the schema up to date; returns the names of the migrations that ran."""
    return await run_migrations(
        settings.database_url,
        schema=SERVICE,
        directory=MIGRATIONS,
        statement_timeout_ms=settings.database_migration_timeout_ms,
    )


class PresenceApp:
    """The service: API and sweeper. `start` returns the bound port."""

    def __init__(self, settings: PresenceSettings) -> None:
        self._settings = settings

    async def start(self) -> int:
        settings = self._settings
        self.pool = await connect_pool(
            settings.database_url,
            schema=SERVICE,
            min_size=settings.database_pool_min,
            max_size=settings.database_pool_max,
            statement_timeout_ms=settings.database_statement_timeout_ms,
            application_name=SERVICE,
        )
        servicer = PresenceServicer()
        self._server = GrpcServer(
            settings=settings,
            trust=Trust.from_file(settings.service_trust_file),
            add_servicers=partial(service_pb2_grpc.add_PresenceServiceServicer_to_server, servicer),
            service_names=["splits.chat.presence.v1.PresenceService"],
            ready=partial(_schema_is_there, self.pool),
        )
        return await self._server.start()

    async def stop(self) -> None:
        """Lets calls in work finish, then closes everything."""
        await self._server.drain()
        await self.pool.close()


async def serve(settings: PresenceSettings, stop: asyncio.Event) -> None:
    """Runs the service until `stop` is set."""
    app = PresenceApp(settings)
    await app.start()
    await stop.wait()
    await app.stop()


async def _schema_is_there(pool: asyncpg.Pool) -> None:
    await pool.execute("SELECT FROM last_seen LIMIT 0")
