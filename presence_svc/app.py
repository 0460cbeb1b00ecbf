"""The only place that wires presence_svc together."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from pathlib import Path

import asyncpg
import structlog
from splits.chat.presence.v1 import service_pb2_grpc

from presence_svc.actions.deps import Deps
from presence_svc.actions.forget_access_changes import forget_access_changes
from presence_svc.actions.save_last_seen import LastSeen
from presence_svc.actions.sweep_leases import sweep_leases
from presence_svc.relations import Relations
from presence_svc.rpc import PresenceServicer
from presence_svc.settings import PresenceSettings
from presence_svc.store import States
from servicekit.clock import SystemClock
from servicekit.control import ControlPublisher
from servicekit.db import connect_pool
from servicekit.grpc_server import GrpcServer
from servicekit.identity import Signer, Trust
from servicekit.migrations import migrate as run_migrations
from servicekit.redis_commands import RedisCommands
from servicekit.runner import keep_what_stands, repeat

SERVICE = "presence_svc"
MIGRATIONS = Path(__file__).with_name("migrations")

log = structlog.get_logger(__name__)
_AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


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
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

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
        trust = Trust.from_file(settings.service_trust_file)
        self._commands = RedisCommands(settings.redis_url, timeout_s=settings.redis_timeout_seconds)
        self._relations = Relations(
            settings.conversation_svc_target,
            Signer.from_file(SERVICE, settings.service_key_file),
            timeout=settings.conversation_svc_timeout_seconds,
        )
        self._control = ControlPublisher(settings.redis_url, timeout_s=settings.redis_timeout_seconds)
        self.deps = Deps(
            pool=self.pool,
            states=States(self._commands, keep_s=settings.presence_keep_seconds),
            relations=self._relations,
            last_seen=LastSeen(self.pool),
            rules=settings.rules(),
            control=self._control,
            clock=SystemClock(),
            access_keep=timedelta(days=settings.access_keep_days),
        )
        servicer = PresenceServicer(self.deps, trust)
        self._server = GrpcServer(
            settings=settings,
            trust=trust,
            add_servicers=partial(service_pb2_grpc.add_PresenceServiceServicer_to_server, servicer),
            service_names=["splits.chat.presence.v1.PresenceService"],
            ready=partial(_schema_is_there, self.pool),
        )
        for name, seconds, work in (
            ("lease_sweeper", settings.presence_sweep_seconds, self._sweep),
            ("last_seen_writer", settings.last_seen_flush_seconds, self.deps.last_seen.save),
            ("access_forgetting", settings.access_forget_seconds, self._forget),
        ):
            self._tasks.append(asyncio.create_task(repeat(self._stop, name, seconds, work), name=name))
        return await self._server.start()

    async def stop(self) -> None:
        """Lets calls in work finish, then closes everything."""
        await self._server.drain()
        self._stop.set()
        await asyncio.gather(*self._tasks)
        try:
            await self.deps.last_seen.save()  # what came since its task looked last
        except _AWAY as error:
            log.warning("last_seen_not_saved", cause=type(error).__name__)
        self._commands.close()
        await self._control.close()
        await self._relations.close()
        await self.pool.close()

    async def _sweep(self) -> None:
        await sweep_leases(self.deps)

    async def _forget(self) -> None:
        await forget_access_changes(self.deps)


async def serve(settings: PresenceSettings, stop: asyncio.Event) -> None:
    """Runs the service until `stop` is set."""
    app = PresenceApp(settings)
    await app.start()
    keep_what_stands()
    await stop.wait()
    await app.stop()


async def _schema_is_there(pool: asyncpg.Pool) -> None:
    await pool.execute("SELECT FROM access_changes LIMIT 0")
