"""The only place that wires conversation_svc together."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from pathlib import Path

import asyncpg
from splits.chat.conversation.v1 import service_pb2_grpc

from conversation_svc import events
from conversation_svc.actions.deps import Deps
from conversation_svc.actions.expire_requests import expire_requests
from conversation_svc.actions.reconcile_gates import reconcile_gates
from conversation_svc.actions.reconcile_openings import reconcile_openings
from conversation_svc.actions.sweep_pushes import BATCH, sweep_pushes
from conversation_svc.messages import Messages
from conversation_svc.rpc import ConversationServicer
from conversation_svc.settings import ConversationSettings
from servicekit.bus import BusPublisher
from servicekit.clock import Clock, SystemClock
from servicekit.control import ControlPublisher
from servicekit.db import connect_pool
from servicekit.grpc_server import GrpcServer
from servicekit.identity import Signer, Trust
from servicekit.migrations import migrate as run_migrations
from servicekit.outbox import Outbox
from servicekit.realtime import RealtimePublisher
from servicekit.runner import keep_what_stands, repeat

SERVICE = "conversation_svc"
MIGRATIONS = Path(__file__).with_name("migrations")


async def migrate(settings: ConversationSettings) -> list[str]:
    """Brings the schema up to date; returns the names of the migrations that ran."""
    return await run_migrations(
        settings.database_url,
        schema=SERVICE,
        directory=MIGRATIONS,
        statement_timeout_ms=settings.database_migration_timeout_ms,
    )


class ConversationApp:
    """The service: API, outbox relay, sweeper, reconcilers and the end of requests."""

    def __init__(self, settings: ConversationSettings, *, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> int:
        """Starts everything; the port that the API is bound to."""
        settings = self._settings
        trust = Trust.from_file(settings.service_trust_file)
        signer = Signer.from_file(SERVICE, settings.service_key_file)
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
        self._control = ControlPublisher(settings.redis_url)
        self._bus = BusPublisher(settings.amqp_url, service=SERVICE)
        self._outbox = Outbox(
            self.pool,
            self._realtime,
            self._bus,
            render=events.render,
            clock=self._clock,
            queue_limit=settings.outbox_queue_limit,
            poll_s=settings.outbox_poll_seconds,
            keep=timedelta(days=settings.outbox_keep_days),
        )
        self._messages = Messages(
            settings.message_svc_target, signer, timeout=settings.message_svc_timeout_seconds
        )
        self.deps = Deps(
            pool=self.pool,
            messages=self._messages,
            outbox=self._outbox,
            control=self._control,
            clock=self._clock,
            rules=settings.rules(),
            push_owed_after=timedelta(seconds=settings.push_owed_after_seconds),
            unopened_ttl=timedelta(seconds=settings.unopened_ttl_seconds),
        )
        servicer = ConversationServicer(self.deps, trust)
        self._server = GrpcServer(
            settings=settings,
            trust=trust,
            add_servicers=partial(service_pb2_grpc.add_ConversationServiceServicer_to_server, servicer),
            service_names=["splits.chat.conversation.v1.ConversationService"],
            ready=partial(_schema_is_there, self.pool),
        )
        for name, work in (
            ("outbox relay", self._outbox.run_relay(self._stop)),
            ("push sweeper", repeat(self._stop, "push_sweeper", settings.push_sweep_seconds, self._sweep)),
            (
                "gate reconciler",
                repeat(self._stop, "gate_reconciler", settings.reconcile_seconds, self._reconcile),
            ),
            (
                "opening reconciler",
                repeat(self._stop, "opening_reconciler", settings.reconcile_seconds, self._find_openings),
            ),
            ("request expiry", repeat(self._stop, "request_expiry", settings.expire_seconds, self._expire)),
        ):
            self._tasks.append(asyncio.create_task(work, name=name))
        return await self._server.start()

    async def stop(self) -> None:
        """Lets calls in work finish, then closes everything."""
        await self._server.drain()
        self._stop.set()
        await asyncio.gather(*self._tasks)
        await self._outbox.close()
        await self._messages.close()
        await self._realtime.close()
        await self._control.close()
        await self._bus.close()
        await self.pool.close()

    async def _sweep(self) -> None:
        while await sweep_pushes(self.deps) == BATCH and not self._stop.is_set():
            pass

    async def _expire(self) -> None:
        while await expire_requests(self.deps) == BATCH and not self._stop.is_set():
            pass

    async def _reconcile(self) -> None:
        await reconcile_gates(self.deps, self._stop)

    async def _find_openings(self) -> None:
        await reconcile_openings(self.deps, self._stop)


async def serve(settings: ConversationSettings, stop: asyncio.Event) -> None:
    """Runs the service until `stop` is set."""
    app = ConversationApp(settings)
    await app.start()
    keep_what_stands()
    await stop.wait()
    await app.stop()


async def _schema_is_there(pool: asyncpg.Pool) -> None:
    await pool.execute("SELECT FROM conversations LIMIT 0")
