"""The only place that wires the edge together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import aiohttp
import structlog

from edge_gateway import joins, profiles
from edge_gateway.access import AccessChanges
from edge_gateway.clients import Backends, conversation_stub, message_stub, presence_stub
from edge_gateway.cursors import CursorSigner
from edge_gateway.http.front import Front
from edge_gateway.http.server import HttpServer
from edge_gateway.measures import (
    call_times,
    cursor_key,
    http_bounds,
    limits,
    look_times,
    mark_bounds,
    policies,
    report_times,
)
from edge_gateway.metrics import Metrics
from edge_gateway.rates import Rates, policy
from edge_gateway.routes import blocks, conversations, demo, documents, me, messages, operations, presence
from edge_gateway.routes.route import Services, endpoints
from edge_gateway.send_batches import Bounds
from edge_gateway.settings import EdgeSettings
from edge_gateway.sockets.channels import Channels
from edge_gateway.sockets.commands import Commands
from edge_gateway.sockets.control import Control
from edge_gateway.sockets.events import MessageRef
from edge_gateway.sockets.handshake import Handshake, Rules
from edge_gateway.sockets.hub import Hub
from edge_gateway.sockets.hydration import Hydration
from edge_gateway.sockets.keyboards import Keyboards
from edge_gateway.sockets.leases import Leases
from edge_gateway.sockets.looks import Looks
from edge_gateway.sockets.marks import ReadMarks, writing
from edge_gateway.sockets.pace import Paces
from edge_gateway.sockets.reports import Reports
from edge_gateway.sockets.screens import Screens
from edge_gateway.sockets.streams import Streams
from edge_gateway.sockets.topics import Topics
from edge_gateway.sockets.typists import Typists
from edge_gateway.sockets.welcomes import Welcomes
from edge_gateway.sockets.windows import Window
from edge_gateway.tokens.access import Access
from edge_gateway.tokens.guard import Guard
from edge_gateway.tokens.jwks import RemoteKeys
from edge_gateway.tokens.verifier import TokenVerifier
from servicekit.clock import Clock, SystemClock
from servicekit.control import CHANNEL as CONTROL
from servicekit.control import Kind
from servicekit.grpc_client import ServiceClient
from servicekit.identity import ActingUser, Signer
from servicekit.realtime import EVERYBODY
from servicekit.redis_commands import RedisCommands
from servicekit.runner import StartError, keep_what_stands

_log = structlog.get_logger(__name__)

SERVICE = "edge_gateway"
ROUTES = [*me.ROUTES, *conversations.ROUTES, *messages.ROUTES, *blocks.ROUTES, *presence.ROUTES]
"""The REST routes; `openapi.yaml` has the same."""
WEBSOCKET = "/ws/chat"


class EdgeApp:
    """One edge process. `start` returns once it serves; then `port` and `ops_port` are the bound ones."""

    def __init__(self, settings: EdgeSettings) -> None:
        self._settings = settings
        self._stop = asyncio.Event()
        self.metrics = Metrics()
        self.port = 0
        self.ops_port = 0

    async def start(self) -> None:
        """Raises StartError when a port is taken or a key is missing."""
        settings, clock = self._settings, SystemClock()
        signer = Signer.from_file(SERVICE, settings.service_key_file)

        async def look(
            user: ActingUser, conversations: Sequence[str], messages: Sequence[MessageRef]
        ) -> joins.Current:
            return await joins.current(self._backends, user, conversations, messages)

        self._keys = self._issuers_keys()
        self._access = Access()
        verifier = TokenVerifier(
            settings.jwt_issuers, self._keys, clock=clock, remembered=settings.tokens_remembered
        )
        guard = Guard(verifier, self._access, clock)
        hydration = Hydration(look, self.metrics, clock, patience_s=settings.event_patience_ms / 1000)
        self._hub = hub = Hub(
            hydration,
            guard,
            self.metrics,
            clock,
            max_ephemeral=settings.ws_max_ephemeral_bytes,
            max_announced=settings.ws_announce_buffer_bytes,
            max_held=settings.ws_max_held,
        )
        self._channels = self._subscriptions(hub)
        self._commands = RedisCommands(settings.redis_url, timeout_s=settings.redis_timeout_ms / 1000)
        self._backends = backends = Backends(
            ServiceClient(settings.conversation_svc_target, conversation_stub, signer),
            ServiceClient(settings.message_svc_target, message_stub, signer),
            ServiceClient(settings.presence_svc_target, presence_stub, signer),
            signer,
            Bounds(settings.send_batch_max, settings.send_calls_max, settings.send_queue_max),
            call_times(settings),
            on_send_call=self.metrics.sends_per_call.observe,
        )
        self._changes = self._access_changes()
        self.metrics.sends_waiting.set_function(lambda: backends.sends_waiting)
        known = profiles.Profiles(
            backends, remembered=settings.profiles_remembered, again_s=settings.profiles_again_s
        )
        self._rates = rates = Rates(self._commands, policies(settings), pause_s=settings.rate_pause_ms / 1000)
        leases = Leases(self._commands, limit=settings.ws_max_per_user, max_age_s=settings.ws_max_age_s)
        timeout_s = settings.request_timeout_ms / 1000
        self._marks = ReadMarks(writing(backends, timeout_s), self.metrics, mark_bounds(settings))
        self._reports = Reports(
            backends.presence.report,
            self.metrics,
            report_times(settings),
            most_waiting=settings.max_sockets,
        )
        screens = self._screens(clock)
        self._keyboards = keyboards = Keyboards(
            backends.presence.set_typing,
            self.metrics,
            every_s=settings.ws_typing_every_ms / 1000,
            lapse_s=settings.ws_typing_ms / 1000,
        )
        handshake = Handshake(
            rules=Rules(
                origins=frozenset(settings.allowed_origins),
                max_sockets=settings.max_sockets,
                max_connecting=settings.ws_max_connecting,
                max_held=settings.ws_max_held,
                max_age_s=settings.ws_max_age_s,
                max_age_jitter=settings.ws_max_age_jitter,
                timeout_s=timeout_s,
                limits=limits(settings),
                paces=Paces(policy(settings.rate_frames), policy(settings.rate_frames_user)),
            ),
            hub=hub,
            streams=Streams(self._commands, max_replayed=settings.ws_max_replayed),
            hydration=hydration,
            guard=guard,
            welcomes=Welcomes(backends),
            profiles=known,
            rates=rates,
            leases=leases,
            commands=Commands(self._marks, guard, screens, keyboards, self._reports, renew=hub.renew),
            leaving=[self._marks.leave, screens.forget, keyboards.forget, self._reports.closed],
            reports=self._reports,
            metrics=self.metrics,
            clock=clock,
        )
        services = Services(
            backends,
            known,
            CursorSigner(cursor_key(settings)),
            rates,
            settings.max_body_bytes,
            settings.http_body_timeout_ms / 1000,
        )
        public = Front(
            [
                *endpoints(ROUTES, services, guard, timeout_s=timeout_s),
                ("GET", WEBSOCKET, handshake),
                *documents.endpoints(),
                *(demo.endpoints(settings.demo_issuer_url) if settings.demo_enabled else ()),
            ],
            origins=settings.allowed_origins,
            metrics=self.metrics,
        )
        operators = Front(operations.endpoints(self.metrics, self.ready))
        bounds = http_bounds(settings)
        self._public = HttpServer(public, settings.edge_host, settings.edge_port, bounds, upgrades=WEBSOCKET)
        self._operators = HttpServer(operators, settings.ops_host, settings.ops_port, bounds)
        # Ends before `stop` only by a fault, and then so does the process.
        self.events: asyncio.Task[Any] = asyncio.create_task(
            self._channels.run(self._stop), name="redis channels"
        )
        self.access: asyncio.Task[Any] = asyncio.create_task(self._changes.run(), name="access changes")
        self._leasing = asyncio.create_task(leases.run(self._stop), name="leases")
        try:
            self.port, self.ops_port = await self._public.start(), await self._operators.start()
        except OSError as error:
            await self.stop()
            raise StartError(f"cannot listen: {error.strerror or error}") from error
        _log.info("serving", port=self.port, ops_port=self.ops_port)

    def _issuers_keys(self) -> dict[str, RemoteKeys]:
        self._http_client = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        settings = self._settings
        found = {
            each.issuer: RemoteKeys(
                each.keys_url,
                self._http_client,
                timeout_s=settings.jwks_timeout_ms / 1000,
                refetch_s=settings.jwks_refetch_s,
                refresh_s=settings.jwks_refresh_s,
            )
            for each in settings.jwt_issuers
        }
        for keys in found.values():
            keys.warm()
        if not found:
            _log.warning("no_issuers", hint="JWT_ISSUERS is empty: every token will be refused")
        return found

    def _subscriptions(self, hub: Hub) -> Channels:
        try:
            channels = Channels(
                self._settings.redis_url,
                on_message=hub.dispatch,
                on_gap=hub.start_over,
                on_state=self._on_redis,
                always=[EVERYBODY, CONTROL],
                connect_s=self._settings.redis_connect_timeout_ms / 1000,
                silence_s=self._settings.redis_silence_ms / 1000,
            )
        except ValueError as error:
            raise StartError(f"REDIS_URL: {error}") from error
        hub.use(channels)
        self._control = Control()
        hub.listen(CONTROL, self._control.receive)
        return channels

    def _screens(self, clock: Clock) -> Screens:
        """What sockets have on screen, and what they hear of it."""
        settings, topics = self._settings, Topics[Window](self._channels)
        typists = Typists(clock, lapse_s=settings.ws_typing_ms / 1000)
        looks = Looks(
            self._backends.presence,
            topics,
            typists,
            self.metrics,
            clock,
            look_times(settings),
        )
        screens = Screens(
            looks,
            topics,
            typists,
            max_open=settings.ws_max_open,
            timeout_s=settings.request_timeout_ms / 1000,
        )
        self._hub.listen("presence", screens.hear_presence)
        self._hub.listen("conv", screens.hear_typing)
        self._control.listen(Kind.RELATIONS, screens.look_again)
        return screens

    def _access_changes(self) -> AccessChanges:
        """What keeps revocations and bans known here."""
        changes = AccessChanges(
            self._backends.presence.list_access_changes,
            self._access,
            self.metrics,
            on_change=self._hub.look_over,
            poll_s=self._settings.access_poll_ms / 1000,
            reload_s=self._settings.access_reload_s,
        )
        self._control.listen(Kind.ACCESS, lambda _people: changes.look())
        return changes

    def _on_redis(self, connected: bool) -> None:
        self.metrics.redis_connected.set(int(connected))
        if connected:
            self._changes.look()  # what was told before is told nobody again

    def ready(self) -> dict[str, bool]:
        """What has to hold for traffic to be sent here."""
        return {
            "redis": self._channels.connected,
            "access": self._access.known,
            "accepting": not self._hub.draining,
        }

    async def stop(self) -> None:
        """Sends the sockets away, answers what is in work, closes everything. Repeatable."""
        if self._stop.is_set():
            return
        settings = self._settings
        self._marks.hurry()
        await self._hub.drain(
            settings.drain_seconds,
            answers_s=settings.ws_frames_last_ms / 1000,
            close_timeout_s=settings.ws_close_timeout_ms / 1000,
        )
        await self._public.stop()
        await self._operators.stop()
        await self._marks.close()
        await self._keyboards.close()
        await self._reports.close()
        self._stop.set()
        self.access.cancel()
        with suppress(asyncio.CancelledError):
            await self.access
        await self.events
        await self._leasing
        await asyncio.gather(*(keys.close() for keys in self._keys.values()))
        await self._http_client.close()
        await self._backends.close()
        self._rates.close()
        self._commands.close()


async def serve(settings: EdgeSettings, stop: asyncio.Event) -> None:
    """Runs an edge until `stop` is set."""
    app = EdgeApp(settings)
    await app.start()
    keep_what_stands()
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({stopped, app.events, app.access}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    await app.stop()
