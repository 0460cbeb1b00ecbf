"""Somebody's socket: who it is, until when, and how it gets from the welcome to live.

Events are held, without bodies, from before the upgrade until all that was missed is told; then what was held
is looked up and told, and so on until nothing is left to tell: from there on it is live.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice

from edge_gateway import problems
from edge_gateway.sockets import frames, wire
from edge_gateway.sockets.codes import Close
from edge_gateway.sockets.events import Event
from edge_gateway.sockets.hydration import BATCH, Hydration
from edge_gateway.sockets.pace import Pace, Paces
from edge_gateway.sockets.socket import Socket
from edge_gateway.sockets.wheel import Wheel
from edge_gateway.tokens.verifier import LEEWAY_S, Principal
from servicekit.clock import Clock
from servicekit.errors import Reason
from servicekit.ids import new_id_text

_LONGEST_TIMER_S = 3600.0
_INBOX_HIGH, _INBOX_LOW = 32, 8
"""Frames that wait until the socket is read no more, and until it is again. Not settings: how long one waits
is up to who answers it, and what they take to RATE_FRAMES and WS_MAX_FRAME_BYTES.
"""


def _new(events: Iterable[Event], ids: set[str]) -> deque[Event]:
    """Those not seen before; their ids are noted."""
    found: deque[Event] = deque()
    for event in events:
        if event.event_id not in ids:
            ids.add(event.event_id)
            found.append(event)
    return found


class Session:
    """Begins before the upgrade, so that events are held from the moment the channel is confirmed."""

    __slots__ = (
        "_alarms",
        "_catching_up",
        "_clock",
        "_expiry",
        "_handle",
        "_heard",
        "_held",
        "_hydration",
        "_inbox",
        "_max_held",
        "_on_end",
        "_on_sign",
        "_owed",
        "_pace",
        "_paces",
        "_socket",
        "_until",
        "_worker",
        "away",
        "closed",
        "ended_with",
        "had",
        "id",
        "principal",
        "reported_at",
    )

    def __init__(
        self,
        principal: Principal,
        *,
        clock: Clock,
        hydration: Hydration,
        max_held: int,
        max_age_s: float,
        paces: Paces,
        handle: Callable[[Session, bytes], Awaitable[None]],
        on_end: Callable[[Session], None],
        on_sign: Callable[[Session], None],
        alarms: Wheel,
    ) -> None:
        self.id = new_id_text()
        self.principal = principal
        self.ended_with: Close | None = None
        """Set once the edge has decided to end it."""
        self.closed = False
        """Nothing is told any more. What was said before may still be handled, but for what would go on."""
        self.had = 0
        """Number of the last event of the feed that is told, or will be, otherwise than by `deliver`."""
        self.away = False
        """As the client said it last: nobody looks at it."""
        self.reported_at: float | None = None
        """When presence_svc was told of it last, by the monotonic clock."""
        self._clock = clock
        self._hydration = hydration
        self._handle = handle
        self._on_end = on_end
        self._on_sign = on_sign
        self._held: list[Event] | None = []
        self._max_held = max_held
        self._until = time.monotonic() + max_age_s
        # Many sockets never say a word: what only a frame needs is made for the first one.
        self._paces = paces
        self._pace: Pace | None = None
        self._inbox: deque[bytes] | None = None
        self._owed = 0
        """Answers that others than the worker will give."""
        self._heard = False
        """Nothing more will be said: it ends when all is answered."""
        self._socket: Socket | None = None
        self._worker: asyncio.Task[None] | None = None
        self._catching_up: asyncio.Task[None] | None = None
        self._alarms = alarms
        self._expiry: int | None = None

    @property
    def user_id(self) -> str:
        return self.principal.user.user_id

    @property
    def opening(self) -> bool:
        """Whether it is not live yet."""
        return self._held is not None

    def open(self, socket: Socket, welcome: bytes, missed: Sequence[Event], end: str | None) -> None:
        """The socket is there: the welcome, then what was missed and held, then `system.caught_up`.

        `end` is where the stream stood when `missed` was read; None when it was empty.
        """
        self._socket = socket
        if self.ended_with is not None:
            socket.close(self.ended_with)
        if socket.closing:
            return
        first = wire.text_frame(welcome)
        if missed or self._held:
            socket.write(first)
            self._catching_up = asyncio.create_task(self._catch_up(socket, missed, end))
        else:
            socket.write(first + self._live(socket, end), number=2)
        self._watch_expiry()

    def hold(self, number: int, event: Event) -> None:
        """An event that came while it is not live."""
        self.had = number
        if self._held is not None:
            self._held.append(event)
            if len(self._held) > self._max_held:
                self.end(Close.SLOW_CONSUMER)

    def deliver(self, number: int, frame: bytes) -> None:
        """A finished frame for this user; passed over by who has had it otherwise or is not live."""
        if self._held is None and number > self.had and self._socket is not None:
            self._socket.write(frame)

    async def _catch_up(self, socket: Socket, missed: Sequence[Event], end: str | None) -> None:
        ids: set[str] = set()
        waiting, size = _new(missed, ids), BATCH
        while not socket.closing and self._held is not None:
            if not waiting:
                # What came between the subscription and the read of the stream is in both.
                waiting, self._held = _new(self._held, ids), []
                if not waiting:
                    socket.write(self._live(socket, end))
                    return
                end = waiting[-1].cursor
            batch = list(islice(waiting, size))
            found = await self._hydration.frames(self.principal.user, batch)
            if found is None:
                self.end(Close.RESTART)
                return
            for told, frame in enumerate(found, start=1):
                waiting.popleft()
                size = min(BATCH, 2 * told)  # not much more than the reader will take
                if frame is not None:
                    socket.write(wire.text_frame(frame))
                if socket.congested:
                    break  # what the reader is not ready for is looked up again, not kept
            await socket.drained()

    def _live(self, socket: Socket, end: str | None) -> bytes:
        """It is live from here on: the frame that says so."""
        self._held = None
        socket.live = True
        return wire.text_frame(frames.event(frames.CAUGHT_UP, {}, now=self._clock.now(), cursor=end))

    def say(self, payload: bytes) -> None:
        """A frame of the edge's own, to this socket only."""
        if self._socket is not None:
            self._socket.write(wire.text_frame(payload))

    def offer(self, frame: bytes) -> bool:
        """A finished frame that may be left out, and whether it was not."""
        return self._socket is not None and self._socket.offer(frame)

    def end(self, code: Close) -> None:
        """Closes it; before it is open, the handshake finds out."""
        if self.ended_with is None:
            self.ended_with = code
        self._held = None if self._socket is not None else []
        if self._socket is not None:
            self._socket.close(code)

    def renew(self, principal: Principal) -> None:
        """The same person with a fresh token."""
        self.principal = principal
        self._watch_expiry()

    def on_text(self, payload: bytes) -> None:
        """A client's frame: handled one after the other; reading stops while too many wait.

        One too many is refused unread; who has been refused as often as may be said at once is closed.
        """
        if wait_ms := self._paced(said=True):
            wrong = problems.problem(Reason.RATE_LIMITED, retry_after_ms=wait_ms)
            self.say(frames.error(None, wrong, new_id_text()))
            return
        if self._inbox is None:
            self._inbox = deque()
        self._inbox.append(payload)
        if len(self._inbox) >= _INBOX_HIGH and self._socket is not None:
            self._socket.pause(True)
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())

    def on_alive(self) -> None:
        """A sign of life that was asked for."""
        self._on_sign(self)

    def on_control(self) -> bool:
        """Any other ping or pong: a sign of life too, but they count as frames do."""
        self._on_sign(self)
        return not self._paced(said=False)

    def _paced(self, *, said: bool) -> int:
        """0 when one more frame may come now, else how many milliseconds too early it is."""
        now = time.monotonic()
        if self._pace is None:
            self._pace = self._paces.begin(now)
            if self._pace is None:
                return 0
        wait_ms = self._pace.take(self.user_id, now) if said else self._pace.take_control(now)
        if wait_ms and self._pace.tires(now):
            self.end(Close.FLOODING)
        return wait_ms

    def owe(self, answer: asyncio.Future[None]) -> None:
        """A frame is answered when that is done, by a callback which it has already."""
        self._owed += 1
        answer.add_done_callback(self._on_paid)

    def _on_paid(self, _answer: asyncio.Future[None]) -> None:
        self._owed -= 1
        self._end_if_answered()

    def on_heard(self) -> None:
        """The edge is stopping, and the socket reads no more."""
        self._heard = True
        self._end_if_answered()

    def _end_if_answered(self) -> None:
        if self._heard and self._worker is None and not self._owed:
            self.end(Close.RESTART)

    def on_closing(self) -> None:
        """The socket takes and gives nothing any more."""
        self.closed = True
        if self.ended_with not in (None, Close.RESTART):
            self._inbox = None
        if self._catching_up is not None:
            self._catching_up.cancel()
        self._forget_expiry()
        self._on_end(self)

    async def _work(self) -> None:
        try:
            while self._inbox:
                await self._handle(self, self._inbox.popleft())
                # None: it was ended meanwhile.
                if self._inbox is not None and len(self._inbox) <= _INBOX_LOW and self._socket is not None:
                    self._socket.pause(False)
        finally:
            self._worker = None
            self._end_if_answered()

    def on_time(self) -> None:
        """The token may be over, or the time that a socket may stay."""
        self._watch_expiry()

    def _forget_expiry(self) -> None:
        if self._expiry is not None:
            self._alarms.remove(self._expiry, self)
            self._expiry = None

    def _watch_expiry(self) -> None:
        self._forget_expiry()
        if self._socket is None or self._socket.closing:
            return
        left = self.principal.expires_at + LEEWAY_S - self._clock.now().timestamp()
        may_stay = self._until - time.monotonic()
        if left <= 0:
            self.end(Close.TOKEN_EXPIRED)
        elif may_stay <= 0:
            self.end(Close.MAX_AGE)
        else:
            self._expiry = self._alarms.add(min(left, may_stay, _LONGEST_TIMER_S), self)
