"""Read marks that come over sockets: not one write for each message that scrolls by.

Somebody's first mark in a conversation is written at once. For a while after a write, what their sockets on
this edge say of that conversation is gathered; then the highest is written, and all who wait are answered as
one. A pointer never goes back, so the lower ones are not missed, and none was acknowledged before it held.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from dataclasses import dataclass

from edge_gateway.clients import Backends, budget
from edge_gateway.metrics import Metrics
from edge_gateway.sockets.session import Session
from edge_gateway.sockets.wheel import Wheel
from servicekit import telemetry
from servicekit.errors import ChatError, DeadlineError, Reason
from servicekit.identity import ActingUser

_TICKS = 16
"""Of the wheel in the time for which marks are gathered: how exactly that is kept, no more."""

Write = Callable[[ActingUser, str, int], Awaitable[None]]
"""Person, conversation, number of the message. Raises ChatError."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Times in seconds."""

    gather_s: float
    """How long after a write the next one waits, up to an eighth more."""
    timeout_s: float
    """For a write."""
    most_waiting: int
    """Marks of one person in one conversation; whoever says more waits for them and says nothing else."""
    most_writes: int
    """At a time, as when many sockets close."""


class ReadMarks:
    """Of one edge."""

    def __init__(self, write: Write, metrics: Metrics, bounds: Bounds) -> None:
        self._write = write
        self._metrics = metrics
        self._bounds = bounds
        self._times = Wheel(max(bounds.gather_s / _TICKS, 0.001))
        self._people: dict[str, dict[str, _Gathering]] = {}
        self._together = asyncio.Semaphore(bounds.most_writes)
        self._writes: set[asyncio.Task[None]] = set()
        self._hurried = False
        self._closed = False

    async def mark(
        self, user: ActingUser, conversation_id: str, last_read_seq: int, *, at_once: bool = False
    ) -> asyncio.Future[None] | None:
        """None: it is written. Else it will be: the future is done then, or fails with ChatError.

        `at_once`: it does not wait for others. Raises ChatError.
        """
        if self._closed:
            raise ChatError(Reason.UNAVAILABLE, "The edge is stopping; say it again.")
        self._metrics.read_marks.add(1)
        theirs = self._people.setdefault(user.user_id, {})
        gathering = theirs.get(conversation_id)
        first = gathering is None
        if gathering is None:
            gathering = theirs[conversation_id] = _Gathering(self, user, conversation_id)
        full = len(gathering.waiting) >= self._bounds.most_waiting
        answer = gathering.add(user, last_read_seq)
        if first or full or at_once or self._hurried:
            self.go(gathering)
        if first or full:
            await answer
            return None
        return answer

    def leave(self, session: Session) -> None:
        """The socket is gone: nobody may come to say more."""
        self.flush(session.user_id)

    def flush(self, user_id: str) -> None:
        """What was gathered of a person is written now."""
        for gathering in tuple(self._people.get(user_id, {}).values()):
            if gathering.waiting:
                self.go(gathering)

    def hurry(self) -> None:
        """Nothing waits for others from now on."""
        self._hurried = True
        for user_id in tuple(self._people):
            self.flush(user_id)

    async def close(self) -> None:
        """Takes no more; returns when all that was taken is written, or has failed."""
        self._closed = True
        self.hurry()
        while self._writes:
            await asyncio.wait(self._writes)

    def go(self, gathering: _Gathering) -> None:
        """Its time has come; if it is being written, then as soon as that is done."""
        if gathering.slot is not None:
            self._times.remove(gathering.slot, gathering)
            gathering.slot = None
        if gathering.writing:
            return
        if gathering.waiting:
            gathering.writing = True
            gathering.slot = self._times.add(self._bounds.gather_s, gathering)
            writing = asyncio.create_task(self._put(gathering), context=gathering.context)
            self._writes.add(writing)
            writing.add_done_callback(self._writes.discard)
            return
        theirs = self._people[gathering.user.user_id]
        del theirs[gathering.conversation_id]
        if not theirs:
            del self._people[gathering.user.user_id]

    async def _put(self, gathering: _Gathering) -> None:
        error: Exception | None = None
        waiting: list[asyncio.Future[None]] = []
        try:
            async with asyncio.timeout(self._bounds.timeout_s), self._together:
                user, last_read_seq, waiting = gathering.take()
                self._metrics.read_marks_written.add(1)
                await self._write(user, gathering.conversation_id, last_read_seq)
        except TimeoutError:
            waiting = waiting or gathering.take()[2]
            error = DeadlineError()
        except Exception as fault:  # noqa: BLE001 - it is for those who wait to hear of it
            error = fault
        for answer in waiting:
            if answer.done():
                continue
            if error is None:
                answer.set_result(None)
            else:
                answer.set_exception(error)
        gathering.writing = False
        if gathering.slot is None or (self._hurried and gathering.waiting):
            self.go(gathering)


class _Gathering:
    """What one person says of one conversation, since the last write."""

    __slots__ = ("_highest", "_marks", "context", "conversation_id", "slot", "user", "waiting", "writing")

    def __init__(self, marks: ReadMarks, user: ActingUser, conversation_id: str) -> None:
        self._marks = marks
        self.user = user
        """As it was known last."""
        self.conversation_id = conversation_id
        self.waiting: list[asyncio.Future[None]] = []
        self.writing = False
        self.slot: int | None = None
        """Of its time in the wheel; None = it has come."""
        self._highest = 0
        self.context: Context | None = None
        """Of whoever said something last: their request's id."""

    def add(self, user: ActingUser, last_read_seq: int) -> asyncio.Future[None]:
        """One more mark: what becomes of it."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.user = user
        self._highest = max(self._highest, last_read_seq)
        self.context = copy_context()
        self.waiting.append(answer)
        return answer

    def take(self) -> tuple[ActingUser, int, list[asyncio.Future[None]]]:
        """All that waits, to be written."""
        taken = self.user, self._highest, self.waiting
        self._highest, self.waiting, self.context = 0, [], None
        return taken

    def on_time(self) -> None:
        """It has waited long enough."""
        self._marks.go(self)


def writing(backends: Backends, timeout_s: float) -> Write:
    """Writes by message_svc, within so many seconds."""

    async def write(user: ActingUser, conversation_id: str, last_read_seq: int) -> None:
        with budget(timeout_s), telemetry.tracer().start_as_current_span("ws read.receipt"):
            await backends.mark_read(user, conversation_id, last_read_seq)

    return write
