"""Read marks of many while others write, mute and are given rights: nobody waits in a circle, and who gets
a receipt has it in their watch list too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, TypeVar
from unittest.mock import patch
from uuid import UUID

import asyncpg
import orjson
import redis.asyncio as redis

from message_svc import store
from message_svc.actions import mark_read as marking
from message_svc.actions.mark_read import mark_read
from message_svc.actions.remembered_gates import RememberedGates
from message_svc.actions.send_messages import Repeats, SendDeps, send_messages
from message_svc.actions.set_flags import set_flags
from message_svc.domain import HeldGate, NewMessage, hash_body
from servicekit.clock import SystemClock
from servicekit.db import Executor, Query
from servicekit.ids import new_id
from servicekit.realtime import stream_key
from tests.support.gates import active_gate, new_conversation_id, new_people
from tests.support.message_svc import MessageService
from tests.support.races import ROUNDS, ROUNDS_TO_CATCH, at_last
from tests.support.waiting import eventually

READ_ROUNDS = ROUNDS // 10
CLOCK = SystemClock()
_T = TypeVar("_T")


class Talk:
    """A conversation of a writer and five readers, its actions called without the RPCs around them: what
    Postgres says of locks is heard here as it is.
    """

    def __init__(self, messages: MessageService, server: redis.Redis) -> None:
        self._messages = messages
        self._server = server
        self.people = new_people(6)
        self.writer, *self.readers = self.people
        self.id = new_conversation_id()
        self._version = 0
        self._sent = 0
        self._gates = RememberedGates(10, locked_s=0)

    async def push(self) -> None:
        self._version += 1
        gate = active_gate(self.id, self._version, self.people)
        await at_last(lambda: self._messages.apply(gate))

    async def send(self) -> None:
        self._sent += 1
        text = str(self._sent)
        new = NewMessage(new_id(), UUID(self.id), self.writer, f"c{text}", text, hash_body(b"key", text))
        app = self._messages.app
        deps = SendDeps(app.pool, app.outbox, CLOCK, Repeats(10.0), self._gates, timedelta())
        await _patiently(lambda: send_messages(deps, [new]))

    async def read(self, reader: str) -> None:
        app, seq = self._messages.app, self._sent
        await _patiently(lambda: mark_read(app.pool, app.outbox, CLOCK, reader, UUID(self.id), seq))

    async def mute(self, who: str) -> None:
        app, muted = self._messages.app, self._sent % 2 == 0
        await _patiently(
            lambda: set_flags(
                app.pool,
                app.outbox,
                CLOCK,
                user_id=who,
                conversation_id=UUID(self.id),
                muted=muted,
                archived=None,
            )
        )

    async def changed_at(self) -> dict[str, datetime]:
        rows = await self._messages.pool.fetch(
            "SELECT user_id, changed_at FROM member WHERE conversation_id = $1", UUID(self.id)
        )
        return {row["user_id"]: row["changed_at"] for row in rows}

    async def receipts(self, user: str) -> list[str]:
        """Times of the receipts of others that somebody was given, all of them published."""
        owed = "SELECT count(*) FROM outbox_realtime WHERE conversation_id = $1"
        await eventually(
            lambda: self._messages.pool.fetchval(owed, UUID(self.id)), until=lambda count: count == 0
        )
        entries: Any = await self._server.xrange(stream_key(user))
        told = [orjson.loads(fields[b"refs"]) for _, fields in entries if fields[b"type"] == b"read.receipt"]
        return [refs["at"] for refs in told if refs["userId"] != user]


async def _patiently(call: Callable[[], Awaitable[_T]]) -> _T:
    """Again after a wait that was only long, as on a loaded machine; a deadlock is raised."""
    while True:
        try:
            return await call()
        except asyncpg.LockNotAvailableError:
            continue


async def race_read_marks(messages: MessageService, redis_url: str, rounds: int) -> str | None:
    """What was wrong in a round: a deadlock, a receipt outside of a watch list, time that ran back."""
    async with redis.Redis.from_url(redis_url) as server:
        talk = Talk(messages, server)
        await talk.push()
        await talk.send()
        before = await talk.changed_at()
        for number in range(rounds):
            others = [talk.push()] if number % 7 == 0 else [talk.mute(talk.readers[number % 5])]
            marks = [talk.read(who) for who in talk.readers]
            if await _deadlocks(talk.send(), *marks, *others, talk.send()):
                return "deadlock"
            # The last thing that happens is a receipt, so that no send moves what it did not.
            if await _deadlocks(*(talk.read(who) for who in talk.readers)):
                return "deadlock"
            after = await talk.changed_at()
            if any(after[who] < before[who] for who in talk.people):
                return "backwards"
            before = after
            if number % 10 == 0 and not await _all_in_watch_lists(talk, talk.people):
                return "lost"
        return None if await _all_in_watch_lists(talk, talk.people) else "lost"


async def _deadlocks(*calls: Awaitable[None]) -> bool:
    """Runs them at once; whether Postgres had to end one. Raises what else they raise."""
    errors = [each for each in await asyncio.gather(*calls, return_exceptions=True) if each is not None]
    for error in errors:
        if not isinstance(error, asyncpg.DeadlockDetectedError):
            raise error
    return bool(errors)


async def _all_in_watch_lists(talk: Talk, people: Sequence[str]) -> bool:
    changed = await talk.changed_at()
    receipts = {who: await talk.receipts(who) for who in people}
    assert all(receipts.values())
    return all(changed[who] >= max(map(datetime.fromisoformat, receipts[who])) for who in people)


@contextmanager
def marking_with(**changed: object) -> Iterator[None]:
    """A deliberately broken build: other functions of the store, for read marks alone."""
    with patch.object(marking, "store", SimpleNamespace(**{**vars(store), **changed})):
        yield


async def test_marks_among_sends_flags_and_pushes_never_deadlock_and_lose_no_change(
    messages: MessageService, redis_url: str
) -> None:
    assert await race_read_marks(messages, redis_url, READ_ROUNDS) is None


async def test_the_check_catches_a_mark_that_does_not_lock_the_gate(
    messages: MessageService, redis_url: str
) -> None:
    unlocked = Query("lock_gates", store.q.lock_gates.sql.replace("FOR UPDATE", ""))

    async def read_gates(conn: Executor, ids: Sequence[UUID]) -> dict[UUID, HeldGate]:
        return {row["id"]: store.held_gate(row) for row in await unlocked.fetch(conn, ids)}

    with marking_with(lock_gates=read_gates):
        assert await race_read_marks(messages, redis_url, ROUNDS_TO_CATCH) == "deadlock"


async def test_the_check_catches_a_mark_that_changes_nothing_for_those_it_tells(
    messages: MessageService, redis_url: str
) -> None:
    async def move_alone(conn: Executor, member: Any, **mark: Any) -> None:
        await store.move_read_pointer(conn, member, **{**mark, "told": []})

    with marking_with(move_read_pointer=move_alone):
        assert await race_read_marks(messages, redis_url, ROUNDS_TO_CATCH) == "lost"
