"""All sockets of this edge, by user, and the channels they live on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress

from edge_gateway.metrics import Metrics
from edge_gateway.sockets import frames
from edge_gateway.sockets.codes import NOT_LET_IN, Close
from edge_gateway.sockets.everybody import Everybody
from edge_gateway.sockets.feed import Feed
from edge_gateway.sockets.hydration import Hydration
from edge_gateway.sockets.session import Session
from edge_gateway.sockets.socket import Socket
from edge_gateway.sockets.topics import Subscriber
from edge_gateway.tokens.guard import Guard
from edge_gateway.tokens.verifier import Principal
from servicekit.clock import Clock
from servicekit.errors import ChatError, Reason
from servicekit.realtime import EVERYBODY
from servicekit.realtime import channel as user_channel

Receive = Callable[[bytes, bytes], None]
"""Takes the name of a channel and what it carried; must not block."""


class Hub:
    """Who is connected here."""

    def __init__(
        self,
        hydration: Hydration,
        guard: Guard,
        metrics: Metrics,
        clock: Clock,
        *,
        max_ephemeral: int,
        max_announced: int,
        max_held: int,
    ) -> None:
        """`max_announced`: bytes that wait to be told to everybody. `max_held`: a user's events that wait."""
        self._max_held = max_held
        self._hydration = hydration
        self._guard = guard
        self._clock = clock
        self._feeds: dict[bytes, Feed] = {}
        self._acting: dict[str, set[Session]] = {}
        """Those in which somebody acts in another's name, by who does: nobody else costs anything here."""
        self._sockets: set[Socket] = set()
        metrics.sockets_open.set_function(lambda: len(self._sockets))
        everybody = Everybody(self._sockets, metrics, max_bytes=max_ephemeral, max_waiting=max_announced)
        self._others: dict[bytes, Receive] = {
            EVERYBODY.encode(): lambda _channel, payload: everybody.receive(payload)
        }
        self._all_gone = asyncio.Event()
        self._subscriber: Subscriber | None = None
        self.draining = False

    @property
    def open_sockets(self) -> int:
        """Upgraded connections, closing ones too."""
        return len(self._sockets)

    def use(self, subscriber: Subscriber) -> None:
        """Named before the first `join`; it in turn calls `dispatch` and `start_over`."""
        self._subscriber = subscriber

    def listen(self, kind: str, receive: Receive) -> None:
        """Where that goes which comes on channels of a kind: the part of their names before `:`."""
        self._others[kind.encode()] = receive

    async def join(self, session: Session) -> None:
        """Returns once events for the session's user are sure to arrive. Raises ChatError UNAVAILABLE.

        A session that is not let in any more is ended then: what changed since its token was looked at, and
        before it was here to be found, nobody has told it.
        """
        if self._subscriber is None or not self._subscriber.connected:
            raise ChatError(Reason.UNAVAILABLE, "Events are not available; try again.")
        name = user_channel(session.user_id)
        feed = self._feeds.get(name.encode())
        if feed is None:
            feed = Feed(self._subscriber.subscribe(name), self._hydration, max_waiting=self._max_held)
            self._feeds[name.encode()] = feed
        feed.admit(session)
        self._note_actor(session)
        try:
            await feed.listening()
            self._look_at(session)
        except BaseException:
            self.leave(session)
            raise

    def leave(self, session: Session) -> None:
        """The session gets nothing any more. Repeatable."""
        self._forget_actor(session)
        name = user_channel(session.user_id)
        feed = self._feeds.get(name.encode())
        if feed is None or session not in feed.sessions:
            return
        feed.sessions.remove(session)
        if not feed.sessions:
            del self._feeds[name.encode()]
            feed.stop()
            if self._subscriber is not None:
                self._subscriber.unsubscribe(name)

    def renew(self, session: Session, principal: Principal) -> None:
        """The same person with a fresh token, in which somebody else may act, or nobody any more."""
        if session.closed:
            return
        self._forget_actor(session)
        session.renew(principal)
        self._note_actor(session)

    def _note_actor(self, session: Session) -> None:
        actor = session.principal.actor
        if actor is not None:
            self._acting.setdefault(actor.user_id, set()).add(session)

    def _forget_actor(self, session: Session) -> None:
        actor = session.principal.actor
        if actor is not None and (theirs := self._acting.get(actor.user_id)) is not None:
            theirs.discard(session)
            if not theirs:
                del self._acting[actor.user_id]

    def dispatch(self, channel: bytes, payload: bytes) -> None:
        """An event came in."""
        feed = self._feeds.get(channel)
        if feed is not None:
            feed.receive(payload)
            return
        receive = self._others.get(channel.partition(b":")[0])
        if receive is not None:
            receive(channel, payload)

    def look_over(self, user_ids: Collection[str] | None = None) -> None:
        """Closes the sockets of those who are not let in any more: of these people, or of all.

        A socket is of its user, and of who acts there in the user's name.
        """
        if user_ids is None:
            sessions = [session for feed in self._feeds.values() for session in feed.sessions]
        else:
            sessions = [session for user_id in user_ids for session in self._of(user_id)]
        for session in sessions:
            self._look_at(session)

    def _of(self, user_id: str) -> Iterator[Session]:
        feed = self._feeds.get(user_channel(user_id).encode())
        if feed is not None:
            yield from feed.sessions
        yield from self._acting.get(user_id, ())

    def _look_at(self, session: Session) -> None:
        code = NOT_LET_IN.get(self._guard.standing(session.principal))
        if code is not None:
            session.end(code)

    def start_over(self) -> None:
        """Events may have been missed: everybody comes back and is told what is true now."""
        feeds, self._feeds = self._feeds, {}
        for feed in feeds.values():
            feed.end(Close.RESTART)
            feed.stop()

    def track(self, socket: Socket) -> None:
        """Counts a socket until `forget`."""
        self._sockets.add(socket)
        self._all_gone.clear()

    def forget(self, socket: Socket) -> None:
        """Its connection is gone."""
        self._sockets.discard(socket)
        if not self._sockets:
            self._all_gone.set()

    async def drain(self, seconds: float, *, answers_s: float, close_timeout_s: float) -> None:
        """Sends everybody away, spread over `seconds`, then closes who is left.

        Each has what was read from them answered before, if that takes no longer than `answers_s`.
        """
        self.draining = True
        if not self._sockets:
            return
        for feed in tuple(self._feeds.values()):
            for session in tuple(feed.sessions):
                wait_ms = int(random.uniform(0, seconds * 800))  # noqa: S311 - spreads load
                frame = frames.event(frames.GOAWAY, {"reconnectInMs": wait_ms}, now=self._clock.now())
                session.say(frame)
        await self._wait_until_gone(seconds)
        for socket in tuple(self._sockets):
            socket.finish()
        await self._wait_until_gone(answers_s)
        self.start_over()
        for socket in tuple(self._sockets):
            socket.close(Close.RESTART)
        await self._wait_until_gone(close_timeout_s + 1)

    async def _wait_until_gone(self, seconds: float) -> None:
        if self._sockets:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._all_gone.wait()
