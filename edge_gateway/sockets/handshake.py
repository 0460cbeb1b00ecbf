"""`GET /ws/chat`: who may come in, and the welcome.

The order is what makes the welcome complete: the user's channel is confirmed first, then their stream is
read from the cursor on, then what Postgres says, then the connection is upgraded, told, and given what it
missed and what came meanwhile. Whatever fails before the upgrade is an HTTP answer; a bad token is told by a
close code, because a browser cannot see a status.

Postgres is asked also when the stream has everything since the cursor: after a failover Redis may have lost
its last second and still know the cursor.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from splits.chat.message.v1 import service_pb2 as message_rpc

from edge_gateway import problems, views
from edge_gateway.http.exchange import Exchange
from edge_gateway.http.front import UPGRADED, Upgraded
from edge_gateway.metrics import Metrics
from edge_gateway.profiles import Profiles
from edge_gateway.rates import Rates
from edge_gateway.sockets import frames, upgrade
from edge_gateway.sockets.codes import NOT_LET_IN, Close
from edge_gateway.sockets.commands import Commands
from edge_gateway.sockets.events import Event
from edge_gateway.sockets.hub import Hub
from edge_gateway.sockets.hydration import Hydration
from edge_gateway.sockets.leases import Leases
from edge_gateway.sockets.pace import Paces
from edge_gateway.sockets.reports import Reports
from edge_gateway.sockets.session import Session
from edge_gateway.sockets.socket import Limits, Listener, Socket
from edge_gateway.sockets.streams import Missed, Streams, TooFarBehindError
from edge_gateway.sockets.welcomes import Welcomes
from edge_gateway.sockets.wheel import Wheel
from edge_gateway.tokens.guard import BannedError, CannotTellError, Guard, admit
from edge_gateway.tokens.verifier import Principal, TokenRejectedError
from servicekit.clock import Clock
from servicekit.errors import ChatError, Reason

_LOOK_BACK = timedelta(seconds=60)
"""How much earlier than its cursor a resumed socket is told what changed: what a failover may have lost."""
_PING_TICKS, _ALARM_TICK_S = 64, 0.25
_OUTCOMES: Mapping[str, str] = {
    Reason.FORBIDDEN: "origin",
    Reason.UNAVAILABLE: "unavailable",
    Reason.RATE_LIMITED: "limited",
}
_REJECTED: Mapping[str, tuple[str, Close]] = {
    "expired": ("expired", Close.TOKEN_EXPIRED),
    "revoked": ("revoked", Close.SESSION_REVOKED),
}
"""Causes that a client is told, for it to act on; any other is an invalid token."""
_TOLD_WHEN_OPEN = frozenset({None, Close.REPLACED, *NOT_LET_IN.values()})
NO_CURSOR, CURSOR_UNKNOWN, TOO_FAR_BEHIND = "no_cursor", "cursor_unknown", "too_far_behind"


@dataclass(frozen=True, slots=True)
class _Start:
    """What a socket is told before it is live."""

    welcome: bytes
    missed: tuple[Event, ...]
    end: str | None


@dataclass(frozen=True, slots=True)
class Rules:
    """Of the door."""

    origins: frozenset[str]
    max_sockets: int
    max_connecting: int
    """Handshakes in work. A storm beyond that is told to come back while the others are let in: if all were
    begun, all would be late."""
    max_held: int
    """Events that wait until a socket is open."""
    max_age_s: float
    max_age_jitter: float
    """Up to this part of it less for each socket: those that came together do not all go together."""
    timeout_s: float
    limits: Limits
    paces: Paces


class Handshake:
    """The endpoint of `/ws/chat`. `leaving`: who else is told of each session that is over; maybe twice."""

    def __init__(
        self,
        *,
        rules: Rules,
        hub: Hub,
        streams: Streams,
        hydration: Hydration,
        guard: Guard,
        welcomes: Welcomes,
        profiles: Profiles,
        rates: Rates,
        leases: Leases,
        commands: Commands,
        leaving: Sequence[Callable[[Session], None]],
        reports: Reports,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._rules = rules
        self._hub = hub
        self._streams = streams
        self._hydration = hydration
        self._guard = guard
        self._welcomes = welcomes
        self._profiles = profiles
        self._rates = rates
        self._leases = leases
        self._leaving = leaving
        self._reports = reports
        # Bound once: each socket holds them.
        self._handle, self._on_sign = commands.handle, reports.alive
        self._on_end, self._on_gone = self._leave, hub.forget
        self._pings, self._alarms = Wheel(rules.limits.ping_s / _PING_TICKS), Wheel(_ALARM_TICK_S)
        self._metrics = metrics
        self._clock = clock
        self._connecting = 0

    async def __call__(self, exchange: Exchange, _path: Mapping[str, str]) -> Upgraded:
        """Upgrades, or raises ProblemError or ChatError."""
        outcome = "failed"
        began = asyncio.get_running_loop().time()
        self._connecting += 1
        try:
            asked = upgrade.read(
                exchange.request.headers, self._rules.origins, may_upgrade=exchange.may_upgrade
            )
            if (
                self._hub.draining
                or self._hub.open_sockets >= self._rules.max_sockets
                or self._connecting > self._rules.max_connecting
            ):
                raise problems.failure(Reason.UNAVAILABLE)
            try:
                principal = await self._guard.verify(asked.token)
            except TokenRejectedError as error:
                outcome, code = _REJECTED.get(error.cause, ("token", Close.INVALID_TOKEN))
                return self._turn_away(exchange, asked, code)
            except BannedError:
                outcome = "banned"
                return self._turn_away(exchange, asked, Close.BANNED)
            except CannotTellError:
                raise problems.failure(Reason.UNAVAILABLE) from None
            admit(principal, "GET /ws/chat", writes=False)
            await self._rates.require(principal.user.user_id, "connect", exchange.headers)
            upgraded = await self._let_in(exchange, asked, principal, began)
            outcome = "accepted"
            return upgraded
        except problems.ProblemError as error:
            outcome = _OUTCOMES.get(error.problem.code, "malformed")
            raise
        except (ChatError, TimeoutError):
            outcome = "unavailable"
            raise
        except ConnectionError:
            outcome = "gone"
            raise
        finally:
            self._connecting -= 1
            self._metrics.handshakes(outcome).inc()

    async def _let_in(
        self, exchange: Exchange, asked: upgrade.Upgrade, principal: Principal, began: float
    ) -> Upgraded:
        session = Session(
            principal,
            clock=self._clock,
            hydration=self._hydration,
            max_held=self._rules.max_held,
            max_age_s=self._rules.max_age_s * (1 - random.uniform(0, self._rules.max_age_jitter)),  # noqa: S311 - spreads load
            paces=self._rules.paces,
            handle=self._handle,
            on_end=self._on_end,
            on_sign=self._on_sign,
            alarms=self._alarms,
        )
        try:
            # No budget for calls besides: each goes in a batch, which has a time of its own.
            async with asyncio.timeout(self._rules.timeout_s):
                await self._hub.join(session)
                # In a storm many give up while they wait their turn: nothing is asked for them.
                if exchange.request.transport is None:
                    raise ConnectionResetError
                start = await self._start(exchange.request.query.get("cursor", ""), session)
                # Last: a socket that is not let in replaces nobody.
                if session.ended_with is None:
                    await self._leases.take(session, began=began)
            # Who was replaced, revoked or banned before it was open is told as any other, by a code.
            if session.ended_with not in _TOLD_WHEN_OPEN or self._hub.draining:
                raise problems.failure(Reason.UNAVAILABLE)
            upgraded, socket, rest = self._upgrade(exchange, asked, session)
        except BaseException:
            self._leave(session)
            raise
        session.open(socket, start.welcome, start.missed, start.end)
        self._reports.opened(session)
        # What came with the handshake, before anybody could have been asked for it.
        socket.data_received(rest)
        return upgraded

    def _leave(self, session: Session) -> None:
        self._hub.leave(session)
        self._leases.release(session)
        for forget in self._leaving:
            forget(session)

    async def _start(self, cursor: str, session: Session) -> _Start:
        user = session.principal.user
        if not session.principal.read_only:
            await self._profiles.sync(user)
        reason = CURSOR_UNKNOWN if cursor else NO_CURSOR
        missed: Missed | None = None
        if cursor:
            try:
                missed = await self._streams.after(user.user_id, cursor)
            except TooFarBehindError:
                reason = TOO_FAR_BEHIND
        if missed is not None:
            facts = await self._welcomes.get(user, changed_after=_back(missed))
            if not facts.has_more:
                return _Start(self._welcome(session, facts, None, None), missed.events, missed.end)
            reason = TOO_FAR_BEHIND
        # Read before Postgres is: whatever comes after this point is not in what Postgres says.
        end = await self._streams.end(user.user_id)
        facts = await self._welcomes.get(user)
        return _Start(self._welcome(session, facts, reason, end), (), end)

    def _welcome(
        self, session: Session, facts: message_rpc.Welcome, reason: str | None, cursor: str | None
    ) -> bytes:
        """`reason`: why it starts over; None when it is resumed."""
        self._metrics.resumes(reason or "resumed").inc()
        now = self._clock.now()
        data: views.Json = {
            "connectionId": session.id,
            "userId": session.user_id,
            "resumed": reason is None,
            **({} if reason is None else {"reason": reason}),
            "serverTime": views.rfc3339(now),
            "pingMs": round(self._rules.limits.ping_s * 1000),
            "expiresAt": views.unix_time(session.principal.expires_at),
            "unread": views.unread(facts.unread),
            "watchList": [views.watch_item(item) for item in facts.items],
        }
        return frames.event(frames.WELCOME, data, now=now, cursor=cursor)

    def _turn_away(self, exchange: Exchange, asked: upgrade.Upgrade, code: Close) -> Upgraded:
        upgraded, socket, rest = self._upgrade(exchange, asked, _Nobody())
        socket.close(code)
        socket.data_received(rest)
        return upgraded

    def _upgrade(
        self, exchange: Exchange, asked: upgrade.Upgrade, listener: Listener
    ) -> tuple[Upgraded, Socket, bytes]:
        """The answer, the socket that gives it, and bytes that came before it was there."""
        transport, head, rest = exchange.take_over(asked.headers)
        socket = Socket(
            transport,
            listener,
            self._rules.limits,
            self._metrics,
            head=head,
            pings=self._pings,
            on_gone=self._on_gone,
        )
        self._hub.track(socket)
        return UPGRADED, socket, rest


def _back(missed: Missed) -> Timestamp:
    since = Timestamp()
    since.FromDatetime(missed.since - _LOOK_BACK)
    return since


class _Nobody:
    """Listens to a socket that is closed as soon as it is open."""

    def on_text(self, payload: bytes) -> None:
        """Nothing is taken from it."""

    def on_alive(self) -> None:
        """Nothing is told of it."""

    def on_control(self) -> bool:
        """Nothing is answered to it."""
        return False

    def on_heard(self) -> None:
        """It is closed already."""

    def on_closing(self) -> None:
        """Nothing depends on it."""
