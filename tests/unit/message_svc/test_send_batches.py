"""How sends gather: nobody waits for a batch to fill; whoever waits for a transaction shares the next one."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Sequence
from uuid import UUID, uuid4

import asyncpg
import pytest

from message_svc.actions.send_batches import SendBatches
from message_svc.actions.send_messages import Lost, Outcome
from message_svc.domain import NewMessage, Refused

CALLER: contextvars.ContextVar[str] = contextvars.ContextVar("caller", default="nobody")


def new(conversation_id: UUID, client_id: str = "c") -> NewMessage:
    return NewMessage(uuid4(), conversation_id, "ada", client_id, "hello", b"hash")


class Storing:
    """The transactions that were begun, each of which ends when it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.callers: list[str] = []
        self._ends: list[asyncio.Future[Exception | None]] = []
        self.cancelled = 0

    async def __call__(self, sends: Sequence[NewMessage]) -> Sequence[Outcome]:
        self.batches.append([send.client_message_id for send in sends])
        self.callers.append(CALLER.get())
        end: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self._ends.append(end)
        try:
            error = await end
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if error is not None:
            raise error
        return [Refused(Refused.UNDELIVERABLE) for _ in sends]

    async def end_all(self) -> None:
        """Ends all that run; returns when what follows from it has begun."""
        for end in self._ends:
            if not end.done():
                end.set_result(None)
        await settled()

    async def end(self, number: int, error: Exception | None = None) -> None:
        """Ends the transaction of that number; returns when what follows from it has begun."""
        self._ends[number].set_result(error)
        await settled()


async def settled() -> None:
    """Returns when nothing more happens by itself."""
    for _ in range(20):
        await asyncio.sleep(0)


def batches_of(store: Storing, *, rows: int = 4, in_flight: int = 2) -> SendBatches:
    return SendBatches(store, max_rows=rows, max_in_flight=in_flight)


def sending(batches: SendBatches, *sends: NewMessage) -> asyncio.Task[list[Outcome]]:
    return asyncio.create_task(batches.send(sends))


async def test_a_lone_send_is_stored_at_once() -> None:
    store = Storing()
    call = sending(batches_of(store), new(uuid4(), "only"))
    await settled()

    assert store.batches == [["only"]]
    await store.end(0)
    assert await call == [Refused.UNDELIVERABLE]


async def test_what_comes_while_transactions_run_shares_the_next_one() -> None:
    store = Storing()
    batches = batches_of(store)
    calls = []
    for number in range(5):
        calls.append(sending(batches, new(uuid4(), f"c{number}")))
        await settled()
    assert store.batches == [["c0"], ["c1"]]

    await store.end(1)

    assert store.batches[2:] == [["c2", "c3", "c4"]]
    for number in (0, 2):
        await store.end(number)
    await asyncio.gather(*calls)


async def test_a_batch_has_at_most_so_many_rows_and_so_many_run_at_a_time() -> None:
    store = Storing()
    call = sending(batches_of(store, rows=3), *(new(uuid4(), f"c{number}") for number in range(10)))
    await settled()
    assert store.batches == [["c0", "c1", "c2"], ["c3", "c4", "c5"]]

    for number in range(4):
        await store.end(number)

    assert store.batches[2:] == [["c6", "c7", "c8"], ["c9"]]
    assert len(await call) == 10


@pytest.mark.parametrize(
    ("sends", "batches"), [(11, [11]), (15, [15]), (16, [8, 8]), (33, [17, 16]), (80, [32, 32])]
)
async def test_a_wave_is_divided_among_the_transactions_that_are_free(sends: int, batches: list[int]) -> None:
    store = Storing()
    call = sending(batches_of(store, rows=32), *(new(uuid4(), f"c{number}") for number in range(sends)))
    await settled()
    assert [len(batch) for batch in store.batches] == batches

    while not call.done():
        await store.end_all()
    assert len(await call) == sends


async def test_a_conversation_is_in_one_batch_at_a_time_and_keeps_its_order() -> None:
    store = Storing()
    batches = batches_of(store)
    busy, other = uuid4(), uuid4()
    first = sending(batches, new(busy, "b0"))
    await settled()
    calls = [sending(batches, new(busy, f"b{number}")) for number in (1, 2)]
    calls.append(sending(batches, new(other, "o")))
    await settled()
    assert store.batches == [["b0"], ["o"]]

    await store.end(0)

    assert store.batches[2:] == [["b1", "b2"]]
    for number in (1, 2):
        await store.end(number)
    await asyncio.gather(first, *calls)


async def test_a_conversation_with_many_sends_lets_others_take_their_turns() -> None:
    store = Storing()
    batches = batches_of(store, rows=2, in_flight=1)
    busy = uuid4()
    many = sending(batches, *(new(busy, f"b{number}") for number in range(6)))
    await settled()
    others = [sending(batches, new(uuid4(), f"o{number}")) for number in range(3)]
    await settled()

    for number in range(5):
        await store.end(number)

    assert store.batches == [["b0", "b1"], ["o0", "o1"], ["o2", "b2"], ["b3", "b4"], ["b5"]]
    await asyncio.gather(many, *others)


async def test_each_call_gets_its_own_outcomes_in_its_own_order() -> None:
    store = Storing()
    batches = batches_of(store, in_flight=1)
    shared = uuid4()
    one = sending(batches, new(shared, "a"), new(uuid4(), "b"), new(shared, "c"))
    two = sending(batches, new(uuid4(), "d"))
    await settled()

    assert store.batches == [["a", "c", "b", "d"]]
    await store.end(0)
    assert [len(outcomes) for outcomes in await asyncio.gather(one, two)] == [3, 1]


async def test_who_is_cancelled_while_waiting_takes_their_sends_along() -> None:
    store = Storing()
    batches = batches_of(store, in_flight=1)
    first = sending(batches, new(uuid4(), "first"))
    await settled()
    gone, stays = sending(batches, new(uuid4(), "gone")), sending(batches, new(uuid4(), "stays"))
    await settled()

    gone.cancel()
    await store.end(0)

    assert store.batches == [["first"], ["stays"]]
    assert store.cancelled == 0
    await store.end(1)
    await asyncio.gather(first, stays)


async def test_a_transaction_goes_on_while_one_caller_waits_for_it_and_ends_without() -> None:
    store = Storing()
    batches = batches_of(store, in_flight=1)
    calls = [sending(batches, new(uuid4(), f"c{number}")) for number in range(2)]
    await settled()
    next_one = sending(batches, new(uuid4(), "next"))

    calls[0].cancel()
    await settled()
    assert store.cancelled == 0
    calls[1].cancel()
    await settled()

    assert store.cancelled == 1
    assert store.batches == [["c0", "c1"], ["next"]]  # and its place is free
    await store.end(1)
    await next_one


async def test_a_transaction_that_is_lost_fails_its_callers_and_nobody_else() -> None:
    store = Storing()
    batches = batches_of(store, in_flight=1)
    lost = [sending(batches, new(uuid4(), f"c{number}")) for number in range(2)]
    await settled()
    kept = sending(batches, new(uuid4(), "kept"))

    await store.end(0, asyncpg.ConnectionDoesNotExistError())
    await store.end(1)

    for call in lost:
        with pytest.raises(asyncpg.ConnectionDoesNotExistError):
            await call
    assert await kept == [Refused.UNDELIVERABLE]


async def test_of_a_call_in_two_transactions_only_what_was_lost_is_to_be_sent_again() -> None:
    store = Storing()
    call = sending(batches_of(store, rows=1), new(uuid4(), "kept"), new(uuid4(), "lost"))
    await settled()

    await store.end(0)
    await store.end(1, ConnectionResetError())

    kept, lost = await call
    assert kept is Refused.UNDELIVERABLE
    assert isinstance(lost, Lost)


async def test_an_error_that_is_no_passing_fault_is_not_taken_for_one() -> None:
    store = Storing()
    call = sending(batches_of(store, rows=1), new(uuid4(), "kept"), new(uuid4(), "lost"))
    await settled()

    await store.end(0)
    await store.end(1, ZeroDivisionError())

    with pytest.raises(ZeroDivisionError):
        await call


async def test_a_gate_that_is_held_for_too_long_fails_its_own_conversation_alone() -> None:
    store = Storing()
    held, free = uuid4(), uuid4()
    batches = batches_of(store)
    calls = [sending(batches, new(held, "h0")), sending(batches, new(free, "f"), new(held, "h1"))]
    await settled()
    assert store.batches == [["h0", "h1", "f"]]

    await store.end(0, asyncpg.LockNotAvailableError())
    assert store.batches[1:] == [["h0", "h1"], ["f"]]
    await store.end(1, asyncpg.LockNotAvailableError())
    await store.end(2)

    with pytest.raises(asyncpg.LockNotAvailableError):
        await calls[0]
    outcomes = await calls[1]
    assert outcomes[0] is Refused.UNDELIVERABLE
    assert isinstance(outcomes[1], Lost)


async def test_what_cannot_be_read_of_one_conversation_fails_it_alone() -> None:
    store = Storing()
    batches = batches_of(store)
    broken, sound = sending(batches, new(uuid4(), "broken")), sending(batches, new(uuid4(), "sound"))
    await settled()
    assert store.batches == [["broken", "sound"]]

    await store.end(0, KeyError("a gate's state"))
    await store.end(1, KeyError("a gate's state"))
    await store.end(2)

    with pytest.raises(KeyError):
        await broken
    assert await sound == [Refused.UNDELIVERABLE]


async def test_what_falls_apart_leaves_connections_to_others() -> None:
    store = Storing()
    batches = batches_of(store, rows=5)
    calls = [sending(batches, new(uuid4())) for _ in range(5)]
    await settled()
    await store.end(0, asyncpg.LockNotAvailableError())
    assert len(store.batches) == 1 + 3
    await store.end(1)
    assert len(store.batches) == 1 + 4
    for number in (2, 3, 4, 5):
        await store.end(number)
    assert [await call for call in calls] == [[Refused.UNDELIVERABLE]] * 5


async def test_a_batch_is_a_part_of_its_first_call() -> None:
    store = Storing()
    batches = batches_of(store, in_flight=1)

    async def send(caller: str) -> None:
        CALLER.set(caller)
        await batches.send([new(uuid4(), caller)])

    calls = [asyncio.create_task(send(caller)) for caller in ("ada", "bob", "eve")]
    await settled()
    await store.end(0)
    await asyncio.gather(*calls)

    assert (store.batches, store.callers) == ([["ada", "bob", "eve"]], ["ada"])


async def test_closing_waits_for_what_runs() -> None:
    store = Storing()
    batches = batches_of(store)
    call = sending(batches, new(uuid4()))
    await settled()

    closing = asyncio.create_task(batches.close())
    await settled()
    assert not closing.done()
    await store.end(0)
    await closing
    await call
