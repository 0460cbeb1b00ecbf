"""Questions that many ask at the same time, asked together: one call costs hardly more than one question.

Nobody waits for a batch to fill. What is asked within one turn of the event loop goes together, and while one
batch is under way the next one gathers: until that one is answered, or it is full, or for 50 ms.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

QuestionT = TypeVar("QuestionT")
AnswerT = TypeVar("AnswerT")

_PATIENCE_S = 0.05
_UNDER_WAY = 4
"""Batches at once: one that hangs does not hold everybody up. Neither is a setting: what gathers is up to how
long a service takes to answer.
"""


class Batches(Generic[QuestionT, AnswerT]):
    """`answer_all` takes at most `most` questions and answers each, in their order.

    What it raises is raised for each of them. It works outside of anybody's context: a batch has neither one
    person's deadline nor their trace.
    """

    def __init__(
        self,
        answer_all: Callable[[Sequence[QuestionT]], Awaitable[Sequence[AnswerT]]],
        *,
        most: int,
    ) -> None:
        self._answer_all = answer_all
        self._most = most
        self._under_way = 0
        self._waiting: deque[tuple[QuestionT, asyncio.Future[AnswerT]]] = deque()
        self._timer: asyncio.Handle | None = None
        """Begins the next batch."""
        self._at_once = False
        """Whether it does so in the next turn of the loop."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, question: QuestionT) -> AnswerT:
        """Its answer; who is cancelled meanwhile is left out of the batch if it has not begun."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[AnswerT] = loop.create_future()
        self._waiting.append((question, answer))
        self._begin_soon(loop)
        return await answer

    def _begin_soon(self, loop: asyncio.AbstractEventLoop, *, answered: bool = False) -> None:
        """`answered`: one batch has just been, so what has gathered meanwhile goes."""
        if not self._waiting or self._under_way >= _UNDER_WAY:
            return
        at_once = answered or not self._under_way or len(self._waiting) >= self._most
        if self._timer is not None:
            if self._at_once or not at_once:
                return
            self._timer.cancel()
        self._at_once = at_once
        if at_once:
            self._timer = loop.call_soon(self._begin, loop, context=Context())
        else:
            self._timer = loop.call_later(_PATIENCE_S, self._begin, loop, context=Context())

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        batch: list[tuple[QuestionT, asyncio.Future[AnswerT]]] = []
        while self._waiting and len(batch) < self._most:
            question, answer = self._waiting.popleft()
            if not answer.done():
                batch.append((question, answer))
        if not batch:
            return
        self._under_way += 1
        task = loop.create_task(self._run(batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._begin_soon(loop)

    async def _run(self, batch: Sequence[tuple[QuestionT, asyncio.Future[AnswerT]]]) -> None:
        try:
            answers = await self._answer_all([question for question, _ in batch])
            # All or none: of too few or too many it cannot be known whose they are.
            for (_, waiting), answer in list(zip(batch, answers, strict=True)):
                if not waiting.done():
                    waiting.set_result(answer)
        except Exception as error:  # noqa: BLE001 - told to those who asked
            for _, waiting in batch:
                if not waiting.done():
                    waiting.set_exception(error)
        finally:
            for _, waiting in batch:
                waiting.cancel()  # of those that are not done: only when the loop ends
            self._under_way -= 1
            self._begin_soon(asyncio.get_running_loop(), answered=True)
