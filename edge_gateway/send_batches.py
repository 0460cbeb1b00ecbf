"""Sends on their way to message_svc: those that wait while calls are in flight go together in the next one.

None waits for others to come: if a call is free, what has arrived leaves once a turn of the event loop has
brought no further one, and that may be one send. A wave of requests that is read turn by turn so shares one,
for as long as 2 ms.
Each has its own identity (its assertion), its own time and its own outcome:

- A call has the longest time of its sends. A send whose own is over fails, in flight or before its turn.
- A call that is refused for what one of its sends holds is made again without that one, which goes alone. If
  it cannot be told whose fault it is, each goes alone, one after the other.
- What one person sends into one conversation keeps its order: while a send is in flight, those that follow it
  are in no other call.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field

from opentelemetry import trace
from splits.chat.message.v1 import service_pb2 as message_rpc

from servicekit.errors import ChatError, DeadlineError, Reason
from servicekit.waves import Wave

_AT_FAULT = re.compile(r"/sends/(\d+)/")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Sends in one call, calls in flight, and sends that wait for one."""

    most: int
    in_flight: int
    waiting: int


@dataclass(slots=True, eq=False)
class Member:
    """One send of a call."""

    send: message_rpc.Send
    place: tuple[str, str]
    """Sender and conversation: within it, order counts."""
    deadline: float
    outcome: asyncio.Future[message_rpc.SendOutcome]
    context: Context = field(default_factory=copy_context)
    """Of whoever sends it: the request's id and span."""
    span: trace.Span = field(default_factory=trace.get_current_span)

    def expire(self) -> None:
        """Its time is over."""
        self.fail(DeadlineError())

    def fail(self, error: BaseException) -> None:
        """Unless its outcome is known, or nobody waits for it any more."""
        if not self.outcome.done():
            self.outcome.set_exception(error)


Call = Callable[[Sequence[Member], float], Awaitable[Sequence[message_rpc.SendOutcome]]]
"""One call: its sends and its time in seconds to an outcome for each. Raises ChatError."""


class SendBatches:
    """Makes the calls. A call of one runs in the context of its send, any other in an empty one."""

    def __init__(self, call: Call, bounds: Bounds) -> None:
        self._call = call
        self._bounds = bounds
        self._waiting: deque[Member] = deque()
        self._calls: set[asyncio.Task[None]] = set()
        self._places: set[tuple[str, str]] = set()
        """Of the sends in flight."""
        self._unsettled: set[Member] = set()
        self._timer: asyncio.TimerHandle | None = None
        """One for all, at the first of their deadlines: they mostly do not come."""
        self._wakes_at = 0.0
        self._wave = Wave(self._may_leave, self._start, most=min(bounds.most, bounds.waiting))
        self._closed = False

    async def send(
        self, send: message_rpc.Send, *, sender_id: str, timeout: float
    ) -> message_rpc.SendOutcome:
        """What became of it; raises ChatError. `timeout`: seconds for all of it, waiting included."""
        if self._closed or len(self._waiting) >= self._bounds.waiting:
            raise ChatError(Reason.UNAVAILABLE, "Too many messages wait; try again.")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        member = Member(send, (sender_id, send.conversation_id), deadline, loop.create_future())
        self._waiting.append(member)
        self._wave.come()
        self._unsettled.add(member)
        self._wake_at(deadline)
        try:
            return await member.outcome
        finally:
            self._unsettled.discard(member)

    @property
    def waiting(self) -> int:
        """How many wait for a call."""
        return len(self._waiting)

    async def close(self) -> None:
        """Ends calls in flight; what has no outcome yet fails with UNAVAILABLE."""
        self._closed = True
        for member in self._waiting:
            member.fail(_closed())
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        for member in self._unsettled:  # those of a call that had not begun, too
            member.fail(_closed())

    def _wake_at(self, deadline: float) -> None:
        if self._timer is not None:
            if self._wakes_at <= deadline:
                return
            self._timer.cancel()
        self._wakes_at = deadline
        self._timer = asyncio.get_running_loop().call_at(deadline, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for member in self._unsettled:
            if member.deadline <= now:
                member.expire()
        left = [member.deadline for member in self._unsettled if not member.outcome.done()]
        if left:
            self._wake_at(min(left))

    def _may_leave(self) -> int:
        """How many wait for nothing but each other."""
        return len(self._waiting) if len(self._calls) < self._bounds.in_flight else 0

    def _start(self) -> None:
        while len(self._calls) < self._bounds.in_flight and (members := self._next()):
            self._places.update(member.place for member in members)
            context = members[0].context if len(members) == 1 else Context()
            call = asyncio.get_running_loop().create_task(self._run(members), context=context)
            self._calls.add(call)
            call.add_done_callback(self._over)

    def _over(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        if self._waiting:
            self._wave.come()

    def _next(self) -> list[Member]:
        members: list[Member] = []
        passed: list[Member] = []
        now = asyncio.get_running_loop().time()
        while self._waiting and len(members) < self._bounds.most:
            member = self._waiting.popleft()
            if member.deadline <= now:
                member.expire()
            elif not member.outcome.done():
                (passed if member.place in self._places else members).append(member)
        self._waiting.extendleft(reversed(passed))
        return members

    async def _run(self, members: list[Member]) -> None:
        try:
            await self._settle(members)
        except asyncio.CancelledError:
            for member in members:
                member.fail(_closed())
        finally:
            self._places.difference_update(member.place for member in members)

    async def _settle(self, members: list[Member]) -> None:
        """Every outcome is known when this returns."""
        left = max(member.deadline for member in members) - asyncio.get_running_loop().time()
        try:
            outcomes = await self._call(members, left)
            for member, outcome in list(zip(members, outcomes, strict=True)):
                if not member.outcome.done():
                    member.outcome.set_result(outcome)
        except ChatError as error:
            if len(members) > 1 and not error.retryable:
                await self._settle_apart(members, error)
                return
            for member in members:
                member.fail(error)
        except Exception as error:  # noqa: BLE001 - it is for those who wait to hear of it
            for member in members:
                member.fail(error)

    async def _settle_apart(self, members: list[Member], error: ChatError) -> None:
        named = {int(found[1]) for each in error.violations if (found := _AT_FAULT.match(each.pointer))}
        named &= set(range(len(members)))  # else the same call would be made for ever
        alone = [member for index, member in enumerate(members) if not named or index in named]
        others = [member for index, member in enumerate(members) if named and index not in named]
        if others:
            await self._settle(others)
        for member in alone:
            if not member.outcome.done():
                await asyncio.get_running_loop().create_task(self._settle([member]), context=member.context)


def _closed() -> ChatError:
    return ChatError(Reason.UNAVAILABLE, "The edge is stopping; try again.")
