"""Gathers sends into batches: while transactions run, the sends of further calls wait for the next together.

Nobody waits for a batch to fill: when there is room for a transaction, what waits is sent, be it one message.
Where there is room for several, a wave is divided among them: two cores of Postgres then work on it.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from message_svc.actions.send_messages import Lost, Outcome
from message_svc.domain import NewMessage
from servicekit.faults import as_unavailable

_APART_AT_ONCE = 3
"""Transactions that a batch falls apart into, at a time: reads and others' batches need connections too."""

_WORTH_A_TRANSACTION = 8
"""Sends: its beginning and end cost as much as some of them."""

Store = Callable[[Sequence[NewMessage]], Awaitable[Sequence[Outcome]]]
"""Stores sends together: `send_messages` but for its first arguments."""


class _Call:
    """One caller's sends; `done` is cancelled with the caller."""

    def __init__(self, sends: int) -> None:
        self.done: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self.context = contextvars.copy_context()
        self._outcomes: list[Outcome | None] = [None] * sends
        self._left = sends

    def settle(self, place: int, outcome: Outcome) -> None:
        """Notes what became of one send; with the last one the caller is answered."""
        self._outcomes[place] = outcome
        self._left -= 1
        if self._left == 0 and not self.done.done():
            self.done.set_result([each for each in self._outcomes if each is not None])


@dataclass(slots=True, eq=False)
class _Send:
    new: NewMessage
    call: _Call
    place: int

    @property
    def abandoned(self) -> bool:
        """Nobody waits for it any more: cancelled, or past its deadline."""
        return self.call.done.done()


class SendBatches:
    """At most `max_rows` sends a batch and `max_in_flight` batches at a time.

    A conversation is in one batch at a time, so that no batch waits for the locks of another, and its sends
    keep their order; conversations take turns.
    """

    def __init__(self, store: Store, *, max_rows: int, max_in_flight: int) -> None:
        self._store = store
        self._max_rows = max_rows
        self._max_in_flight = max_in_flight
        self._waiting: dict[UUID, deque[_Send]] = {}
        """By conversation; also an empty one of each that is in a batch."""
        self._turns: deque[UUID] = deque()
        """Conversations with sends that wait, and none in a batch."""
        self._running: dict[asyncio.Task[None], list[_Send]] = {}
        self._starting = False

    @property
    def waiting(self) -> int:
        """Sends that no transaction has taken yet."""
        return sum(not send.abandoned for queue in self._waiting.values() for send in queue)

    @property
    def in_flight(self) -> int:
        """Transactions that run."""
        return len(self._running)

    async def send(self, sends: Sequence[NewMessage]) -> list[Outcome]:
        """What became of each.

        Raises:
            asyncpg.PostgresError, OSError: as `send_messages`, when all were lost: nothing is acknowledged.

        A caller that is cancelled takes along what still waits. Of what is in a transaction nobody can tell
        whether it is stored, as whenever an answer is lost.
        """
        call = _Call(len(sends))
        for place, new in enumerate(sends):
            queue = self._waiting.get(new.conversation_id)
            if queue is None:
                queue = self._waiting[new.conversation_id] = deque()
                self._turns.append(new.conversation_id)
            queue.append(_Send(new, call, place))
        self._start_soon()
        try:
            outcomes = await call.done
        except asyncio.CancelledError:
            self._cancel_abandoned()
            raise
        lost = [outcome.error for outcome in outcomes if isinstance(outcome, Lost)]
        for error in lost:
            if len(lost) == len(outcomes) or as_unavailable(error) is None:
                raise error
        return outcomes

    async def close(self) -> None:
        """Returns when no transaction runs; whoever still waits is answered or gone before."""
        while self._running:
            await asyncio.wait(list(self._running))

    def _start_soon(self) -> None:
        """In the next turn of the loop, so that calls that came together share a batch."""
        if not self._starting:
            self._starting = True
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        self._starting = False
        while len(self._running) < self._max_in_flight:
            batch = self._take(self._share())
            if not batch:
                return
            # As a part of its first call, in whose trace its statements are seen.
            task = asyncio.get_running_loop().create_task(self._run(batch), context=batch[0].call.context)
            self._running[task] = batch
            task.add_done_callback(self._ended)

    def _share(self) -> int:
        """How many sends the next batch takes at most."""
        free = self._max_in_flight - len(self._running)
        if len(self._turns) >= free * self._max_rows:  # nothing to divide: not a look at each of a long queue
            return self._max_rows
        waiting = sum(len(self._waiting[conversation_id]) for conversation_id in self._turns)
        parts = max(1, min(free, waiting // _WORTH_A_TRANSACTION))
        return min(self._max_rows, -(-waiting // parts))

    def _take(self, most: int) -> list[_Send]:
        """The next batch. Its conversations have no turn until it ended."""
        batch: list[_Send] = []
        while self._turns and len(batch) < most:
            conversation_id = self._turns.popleft()
            queue, before = self._waiting[conversation_id], len(batch)
            while queue and len(batch) < most:
                send = queue.popleft()
                if not send.abandoned:
                    batch.append(send)
            if len(batch) == before:
                del self._waiting[conversation_id]
        return batch

    def _ended(self, task: asyncio.Task[None]) -> None:
        for conversation_id in {send.new.conversation_id for send in self._running.pop(task)}:
            if self._waiting[conversation_id]:
                self._turns.append(conversation_id)
            else:
                del self._waiting[conversation_id]
        self._start_soon()

    async def _run(self, batch: Sequence[_Send]) -> None:
        outcomes = await self._stored(batch)
        apart: dict[UUID, list[_Send]] = {}
        for send, outcome in zip(batch, outcomes, strict=True):
            if _may_be_anothers(outcome):
                apart.setdefault(send.new.conversation_id, []).append(send)
        found = await self._stored_apart(apart.values()) if len(apart) > 1 else {}
        for send, outcome in zip(batch, outcomes, strict=True):
            send.call.settle(send.place, found.get(send, outcome))

    async def _stored(self, batch: Sequence[_Send]) -> Sequence[Outcome]:
        try:
            return await self._store([send.new for send in batch])
        except Exception as error:  # noqa: BLE001 - whatever it was, each caller is told
            return [Lost(error)] * len(batch)

    async def _stored_apart(self, conversations: Collection[Sequence[_Send]]) -> dict[_Send, Outcome]:
        """Each conversation for itself: only those fail whose gates are held too long or cannot be read."""
        room = asyncio.Semaphore(_APART_AT_ONCE)

        async def stored_alone(sends: Sequence[_Send]) -> Sequence[Outcome]:
            async with room:
                return await self._stored(sends)

        stored = await asyncio.gather(*(stored_alone(sends) for sends in conversations))
        found: dict[_Send, Outcome] = {}
        for sends, outcomes in zip(conversations, stored, strict=True):
            found.update(zip(sends, outcomes, strict=True))
        return found

    def _cancel_abandoned(self) -> None:
        """Ends transactions that nobody waits for."""
        for task, batch in self._running.items():
            if all(send.abandoned for send in batch):
                task.cancel()


def _may_be_anothers(outcome: Outcome) -> bool:
    """Lost to a fault of one conversation: of several that were lost together nobody can tell which."""
    if not isinstance(outcome, Lost):
        return False
    return isinstance(outcome.error, asyncpg.LockNotAvailableError) or as_unavailable(outcome.error) is None
