"""Many people with a socket each, all of whom do the same at once, step by step as the bench says.

`{edge_urls, tokens, views}`, then a line for each step, which is answered when it is done. A person goes to
the edge of their number first, and to the next one when it does not take them. With `views` everybody keeps
what they see, and resumes at their cursor.

    {"connect": 64}      all are let in, so many handshakes at once, the next when one is caught up
    {"rest": 5.0}        nothing for so many seconds (pings are answered)
    {"drop": true}       all connections are reset at once
    {"come_back": 60.0}  who has lost the connection comes back as the SDK does, within so many seconds
    {"compare": 64}      everybody's view is held against a fresh one, from one more socket; so many at once
"""

from __future__ import annotations

import heapq
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from bench.load.poll import Lost, Poll, Refused, WebSocket
from bench.load.program import configuration, cpu_s, say
from bench.load.view import View
from bench.percentiles import percentile

_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.5, 20.0
_CONNECT_WITHIN_S = 300.0
_ANSWER_WITHIN_S = 10.0
"""The SDK's own (`web/packages/chat-client/src/backoff.ts`, `connection.ts`)."""
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s


class _Socket(WebSocket):
    """A socket whose end is a fact to note, not a fault of the load."""

    __slots__ = ("_on_lost", "_on_ready")

    def __init__(
        self,
        poll: Poll,
        url: str,
        token: str,
        on_ready: Callable[[], None],
        on_lost: Callable[[str], None],
        view: View | None = None,
    ) -> None:
        self._on_ready, self._on_lost = on_ready, on_lost
        on_frame, cursor = (None, "") if view is None else (view.take, view.cursor)
        super().__init__(poll, url, token, on_frame, cursor=cursor)

    def _readable(self) -> None:
        before = self.caught_up
        try:
            super()._readable()
        except Refused as refused:
            self._gone(f"refused {refused.status}")
        except (Lost, OSError):
            self._gone("lost")
        else:
            if self.caught_up and not before:
                self._on_ready()

    def _gone(self, why: str) -> None:
        self.close()
        self._on_lost(why)

    def reset(self) -> None:
        """Ends the connection as a broken network does, and leaves nothing of it in the kernel."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close()


class _Person:
    def __init__(self, crowd: _Crowd, number: int, token: str) -> None:
        self._crowd = crowd
        self._edge = number
        self._token = token
        self._attempt = 0
        self._generation = 0
        self.socket: _Socket | None = None
        self.view = View() if crowd.views else None
        self._opened_at = 0.0

    def connect(self) -> None:
        """One attempt."""
        self._generation += 1
        self._opened_at = time.perf_counter()
        try:
            self.socket = _Socket(
                self._crowd.poll, self._url, self._token, self._ready, self._lost, self.view
            )
        except OSError:
            self._lost("no edge there")
            return
        if self._crowd.patient:
            self._crowd.after(_ANSWER_WITHIN_S, self, self._generation)

    @property
    def _url(self) -> str:
        return self._crowd.edge_urls[self._edge % len(self._crowd.edge_urls)]

    def compare(self, on_done: Callable[[], None]) -> None:
        """One more socket, only to see what a fresh view has."""
        fresh = View()

        def ready() -> None:
            if self.view is None or self.view.facts != fresh.facts:
                self._crowd.seen["another view"] += 1
            opened.close()
            on_done()

        def lost(why: str) -> None:
            raise RuntimeError(f"a fresh socket was {why}")

        opened = _Socket(self._crowd.poll, self._url, self._token, ready, lost, fresh)

    def due(self, generation: int) -> None:
        """A timer: an answer that did not come, or the next attempt."""
        if generation != self._generation or self.ready:
            return
        if self.socket is None:
            self.connect()
        elif not self.socket.opened:
            self.socket.reset()
            self._lost("no answer")

    def come_back(self) -> None:
        """After a pause that grows with each attempt, half a second at least."""
        self._generation += 1
        ceiling = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** (self._attempt + 1))
        self._attempt += 1
        self._crowd.after(random.uniform(_FIRST_DELAY_S, ceiling), self, self._generation)

    def reset(self) -> None:
        """Loses the connection."""
        if self.socket is not None:
            self.socket.reset()
        self.socket = None

    @property
    def ready(self) -> bool:
        return self.socket is not None and self.socket.caught_up

    def _ready(self) -> None:
        self._attempt = 0
        self._crowd.took.append(time.perf_counter() - self._opened_at)
        self._crowd.on_ready()

    def _lost(self, why: str) -> None:
        self.socket = None
        self._crowd.seen[why] += 1
        self._edge += 1  # as a load balancer does
        if not self._crowd.patient:
            raise RuntimeError(f"a socket was {why}")
        if self._crowd.returning:
            self.come_back()


class _Crowd:
    def __init__(self, edge_urls: list[str], tokens: list[str], *, views: bool) -> None:
        self.poll = Poll()
        self.edge_urls = edge_urls
        self.views = views
        self.people = [_Person(self, number, token) for number, token in enumerate(tokens)]
        self.patient = self.returning = False
        self.seen: Counter[str] = Counter()
        self.took: list[float] = []
        self._timers: list[tuple[float, int, _Person, int]] = []
        self._count = 0
        self._waiting: list[_Person] = []

    def after(self, seconds: float, person: _Person, generation: int) -> None:
        self._count += 1
        heapq.heappush(self._timers, (time.monotonic() + seconds, self._count, person, generation))

    def on_ready(self) -> None:
        if self._waiting:
            self._waiting.pop().connect()

    def do(self, step: dict[str, Any]) -> None:
        """Raises SystemExit when it is not done in time."""
        match step:
            case {"connect": at_once}:
                self._waiting = [person for person in reversed(self.people) if not person.ready]
                for _ in range(min(at_once, len(self._waiting))):
                    self._waiting.pop().connect()
                self._until_all_ready(_CONNECT_WITHIN_S)
            case {"rest": seconds}:
                self._turn_until(lambda: False, time.monotonic() + seconds)
            case {"drop": _}:
                for person in self.people:
                    person.reset()
            case {"come_back": within_s}:
                self.patient = self.returning = True
                for person in self.people:
                    if not person.ready:
                        person.come_back()
                # Whose edge has just died is told meanwhile; nobody comes back sooner.
                self._turn_until(lambda: False, time.monotonic() + _FIRST_DELAY_S)
                self._until_all_ready(within_s)
                self.patient = self.returning = False
            case {"compare": at_once}:
                self._compare(at_once)

    def _compare(self, at_once: int) -> None:
        waiting, left = list(self.people), len(self.people)

        def next_one() -> None:
            if waiting:
                waiting.pop().compare(done)

        def done() -> None:
            nonlocal left
            left -= 1
            next_one()

        for _ in range(at_once):
            next_one()
        deadline = time.monotonic() + _CONNECT_WITHIN_S
        self._turn_until(lambda: left == 0, deadline)
        if left:
            raise SystemExit(f"{left} fresh views did not come in time")

    def _until_all_ready(self, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while missing := sum(not person.ready for person in self.people):
            if time.monotonic() > deadline:
                raise SystemExit(f"{missing} sockets did not come in time: {dict(self.seen)}")
            # Counting them all is not free: not at each turn.
            self._turn_until(lambda: False, min(deadline, time.monotonic() + 0.02))

    def _turn_until(self, done: Callable[[], bool], deadline: float) -> None:
        while not done():
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                _, _, person, generation = heapq.heappop(self._timers)
                person.due(generation)
            if now >= deadline:
                return
            next_timer = self._timers[0][0] if self._timers else deadline
            self.poll.turn(max(0.0, min(deadline, next_timer) - now))


def main() -> None:
    given = configuration()
    crowd = _Crowd(given["edge_urls"], given["tokens"], views=given.get("views", False))
    while step := configuration():
        crowd.took, crowd.seen = [], Counter()
        began, cpu_began = time.monotonic(), cpu_s()
        crowd.do(step)
        elapsed, used = time.monotonic() - began, cpu_s() - cpu_began
        say(
            "done",
            seconds=round(elapsed, 2),
            handshakes=len(crowd.took),
            handshake_ms=[round(percentile(crowd.took, share) * 1e3, 1) for share in (0.5, 0.99)],
            load_us=round(used * 1e6 / max(1, len(crowd.took)), 1),
            seen=dict(crowd.seen),
        )


if __name__ == "__main__":
    main()
