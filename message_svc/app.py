"""The only place that wires message_svc together."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from pathlib import Path

import asyncpg
from splits.chat.message.v1 import service_pb2_grpc

from message_svc.actions.remembered_gates import RememberedGates
from message_svc.actions.render_events import render_events
from message_svc.actions.send_batches import SendBatches
from message_svc.actions.send_messages import Repeats, SendDeps, send_messages
from message_svc.rpc import MessageServicer
from message_svc.settings import MessageSettings
from message_svc.store.kept import KeptConnections
from servicekit.bus import BusPublisher
from servicekit.clock import SystemClock
from servicekit.db import connect_pool
from servicekit.grpc_server import GrpcServer
from servicekit.identity import Trust
from servicekit.migrations import migrate as run_migrations
from servicekit.outbox import Outbox
from servicekit.realtime import RealtimePublisher
from servicekit.runner import keep_what_stands

SERVICE = "message_svc"
MIGRATIONS = Path(__file__).with_name("migrations")


async def migrate(settings: MessageSettings) -> list[str]:
    """Brings the schema up to date; returns the names of the migrations that ran."""
    return await run_migrations(
        settings.database_url,
        schema=SERVICE,
        directory=MIGRATIONS,
        statement_timeout_ms=settings.database_migration_timeout_ms,
    )


class MessageApp:
    """The service: API and outbox relay. `start` returns the bound port."""

    def __init__(self, settings: MessageSettings) -> None:
        self.settings = settings
        self._stop = asyncio.Event()

    async def start(self) -> int:
        settings = self.settings
        self.pool = await connect_pool(
            settings.database_url,
            schema=SERVICE,
            min_size=settings.database_pool_min,
            max_size=settings.database_pool_max,
            statement_timeout_ms=settings.database_statement_timeout_ms,
            application_name=SERVICE,
        )
        self._realtime = RealtimePublisher(
            settings.redis_url,
            max_len=settings.stream_max_length,
            max_age_s=settings.stream_max_age_seconds,
        )
        self._bus = BusPublisher(settings.amqp_url, service=SERVICE)
        self.outbox = Outbox(
            self.pool,
            self._realtime,
            self._bus,
            render=partial(render_events, self.pool),
            queue_limit=settings.outbox_queue_limit,
            poll_s=settings.outbox_poll_seconds,
            keep=timedelta(days=settings.outbox_keep_days),
        )
        trust, clock = Trust.from_file(settings.service_trust_file), SystemClock()
        window = timedelta(seconds=settings.written_window_seconds)
        self.gates = RememberedGates(settings.send_gates_remembered, settings.send_locked_seconds)
        self._connections = KeptConnections(
            self.pool,
            most=settings.send_batches_in_flight,
            keep_s=settings.send_connection_kept_seconds,
        )
        deps = SendDeps(
            self._connections,
            self.outbox,
            clock,
            Repeats(settings.send_repeats_seconds),
            self.gates,
            window,
        )
        self.batches = SendBatches(
            partial(send_messages, deps),
            max_rows=settings.send_batch_rows,
            max_in_flight=settings.send_batches_in_flight,
        )
        servicer = MessageServicer(
            pool=self.pool,
            outbox=self.outbox,
            batches=self.batches,
            clock=clock,
            trust=trust,
            hash_key=settings.message_hash_key.get_secret_value().encode(),
            edit_window=timedelta(seconds=settings.edit_window_seconds),
            written_window=window,
        )
        self._server = GrpcServer(
            settings=settings,
            trust=trust,
            add_servicers=lambda server: service_pb2_grpc.add_MessageServiceServicer_to_server(
                servicer, server
            ),
            service_names=["splits.chat.message.v1.MessageService"],
            ready=partial(_schema_is_there, self.pool),
        )
        self._relay = asyncio.create_task(self.outbox.run_relay(self._stop), name="outbox relay")
        return await self._server.start()

    async def stop(self) -> None:
        """Lets calls in work finish, then closes everything."""
        await self._server.drain()
        await self.batches.close()
        await self._connections.close()
        self._stop.set()
        await self._relay
        await self.outbox.close()
        await self._realtime.close()
        await self._bus.close()
        await self.pool.close()


async def serve(settings: MessageSettings, stop: asyncio.Event) -> None:
    """Runs the service until `stop` is set."""
    app = MessageApp(settings)
    await app.start()
    keep_what_stands()
    await stop.wait()
    await app.stop()


async def _schema_is_there(pool: asyncpg.Pool) -> None:
    # Of the newest migration, so that a release serves only after it.
    await pool.execute("SELECT told FROM gate LIMIT 0")
