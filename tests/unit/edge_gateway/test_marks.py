"""Read marks of sockets, gathered."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest

from edge_gateway.metrics import Metrics
from edge_gateway.sockets.marks import Bounds, ReadMarks
from servicekit.errors import ChatError, DeadlineError, Reason
from servicekit.identity import ActingUser

ADA, BOB = ActingUser("ada", "candidate"), ActingUser("bob", "recruiter")
HERE, THERE = "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5c"
LONG = 3600.0


class Store:
    """Notes what is written; `gate` holds writes up, `error` fails them."""

    def __init__(self) -> None:
        self.written: list[tuple[str, str, int]] = []
        self.under_way: dict[tuple[str, str], int] = defaultdict(int)
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def write(self, user: ActingUser, conversation_id: str, last_read_seq: int) -> None:
        self.under_way[user.user_id, conversation_id] += 1
        assert self.under_way[user.user_id, conversation_id] == 1, "two writes of one at a time"
        try:
            await self.gate.wait()
            if self.error is not None:
                raise self.error
            self.written.append((user.user_id, conversation_id, last_read_seq))
        finally:
            self.under_way[user.user_id, conversation_id] -= 1


def _marks(store: Store, *, gather_s: float = LONG, timeout_s: float = LONG, waiting: int = 100) -> ReadMarks:
    bounds = Bounds(gather_s, timeout_s, most_waiting=waiting, most_writes=64)
    return ReadMarks(store.write, Metrics(), bounds)


async def _gathered(marks: ReadMarks, user: ActingUser, seq: int, where: str = HERE) -> asyncio.Future[None]:
    answer = await marks.mark(user, where, seq)
    assert answer is not None
    return answer


async def test_the_first_is_written_at_once_and_of_those_that_follow_the_highest() -> None:
    store = Store()
    marks = _marks(store, gather_s=0.2)
    assert await marks.mark(ADA, HERE, 1) is None
    assert store.written == [("ada", HERE, 1)]
    answers = [await _gathered(marks, ADA, seq) for seq in (2, 5, 3)]
    assert not any(answer.done() for answer in answers)
    async with asyncio.timeout(10):
        await asyncio.gather(*answers)
    assert store.written == [("ada", HERE, 1), ("ada", HERE, 5)]


async def test_neither_another_person_nor_another_conversation_waits() -> None:
    store = Store()
    marks = _marks(store)
    for user, where in ((ADA, HERE), (ADA, THERE), (BOB, HERE)):
        assert await marks.mark(user, where, 1) is None
    assert len(store.written) == 3


async def test_after_a_quiet_time_a_mark_is_a_first_one_again() -> None:
    store = Store()
    marks = _marks(store, gather_s=0.02)
    await marks.mark(ADA, HERE, 1)
    async with asyncio.timeout(10):
        while (answer := await marks.mark(ADA, HERE, 2)) is not None:
            await answer
            await asyncio.sleep(0.05)
    assert {seq for _, _, seq in store.written} == {1, 2}


async def test_all_who_wait_are_told_of_the_failure_and_the_next_one_is_tried() -> None:
    store = Store()
    marks = _marks(store)
    store.error = ChatError(Reason.NOT_FOUND, "There is no such thing.")
    with pytest.raises(ChatError):
        await marks.mark(ADA, HERE, 1)
    answers = [await _gathered(marks, ADA, seq) for seq in (2, 3)]
    marks.flush("ada")
    found = await asyncio.gather(*answers, return_exceptions=True)
    assert found == [store.error, store.error]
    store.error = None
    answer = await _gathered(marks, ADA, 2)
    marks.flush("ada")
    await answer
    assert store.written == [("ada", HERE, 2)]


async def test_when_somebody_leaves_theirs_are_written_and_nobody_elses() -> None:
    store = Store()
    marks = _marks(store)
    for user, where in ((ADA, HERE), (ADA, THERE), (BOB, HERE)):
        await marks.mark(user, where, 1)
    theirs = [await _gathered(marks, ADA, 2, where) for where in (HERE, THERE)]
    other = await _gathered(marks, BOB, 2)
    marks.flush("ada")
    await asyncio.gather(*theirs)
    assert not other.done()
    assert store.written[3:] == [("ada", HERE, 2), ("ada", THERE, 2)]
    marks.flush("nobody")


async def test_what_comes_while_one_is_written_follows_it() -> None:
    store = Store()
    marks = _marks(store)
    store.gate.clear()
    first = asyncio.create_task(marks.mark(ADA, HERE, 1))
    while not store.under_way["ada", HERE]:
        await asyncio.sleep(0)
    later = await _gathered(marks, ADA, 2)
    marks.flush("ada")
    store.gate.set()
    assert await first is None
    await later
    assert store.written == [("ada", HERE, 1), ("ada", HERE, 2)]


async def test_one_too_many_waits_itself() -> None:
    store = Store()
    marks = _marks(store, waiting=10)
    await marks.mark(ADA, HERE, 1)
    answers = [await _gathered(marks, ADA, seq) for seq in range(2, 12)]
    assert await marks.mark(ADA, HERE, 12) is None
    assert all(answer.done() for answer in answers)
    assert store.written == [("ada", HERE, 1), ("ada", HERE, 12)]


async def test_at_the_end_nothing_waits_for_others_and_all_is_written() -> None:
    store = Store()
    marks = _marks(store)
    people = [ActingUser(f"user-{number}", "candidate") for number in range(200)]
    for user in people:
        await marks.mark(user, HERE, 1)
    for user in people:
        await _gathered(marks, user, 2)
    marks.hurry()
    late = await marks.mark(people[0], HERE, 3)
    await marks.close()
    assert late is not None
    assert late.done()
    highest = {user: seq for user, _, seq in store.written}
    assert highest == {user.user_id: 3 if user is people[0] else 2 for user in people}


async def test_a_store_that_does_not_answer_ends_the_waiting_in_time() -> None:
    store = Store()
    marks = _marks(store, timeout_s=0.1)
    people = [ActingUser(f"user-{number}", "candidate") for number in range(100)]  # more than at a time
    for user in people:
        await marks.mark(user, HERE, 1)
    answers = [await _gathered(marks, user, 2) for user in people]
    store.gate.clear()
    async with asyncio.timeout(10):
        await marks.close()
    found = await asyncio.gather(*answers, return_exceptions=True)
    assert {type(error) for error in found} == {DeadlineError}
