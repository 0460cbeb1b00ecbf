"""Events with what their receiver may see of them now: the receiver's own views, and messages as they stand.

Whatever waited or is replayed passes through here, so that a body which was redacted meanwhile is not told,
and nothing is told that the receiver may not read any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

import structlog

from edge_gateway.clients import budget
from edge_gateway.joins import Current
from edge_gateway.metrics import Metrics
from edge_gateway.sockets.events import Event, MessageRef
from servicekit.clock import Clock
from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser
from servicekit.telemetry import safe_traceback

Look = Callable[[ActingUser, Sequence[str], Sequence[MessageRef]], Awaitable[Current]]
"""What a person sees now of conversations and messages; absent = not there for them. Raises ChatError."""

BATCH = 50
"""Events that are looked up together; below what each RPC takes at once."""
_SETTLED = timedelta(seconds=120)
"""By then a conversation is open or forgotten: if its member is not shown it, it is not theirs any more."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 1.0
_log = structlog.get_logger(__name__)


class Hydration:
    """`patience_s`: how long events may wait for what they are about."""

    def __init__(self, look: Look, metrics: Metrics, clock: Clock, *, patience_s: float) -> None:
        self._look = look
        self._metrics = metrics
        self._clock = clock
        self._patience_s = patience_s

    async def frames(self, user: ActingUser, events: Sequence[Event]) -> list[bytes | None] | None:
        """A frame for each event, None for one that the receiver may not see any more.

        None altogether when it cannot be had. The first attempt may come before conversation_svc knows that
        message_svc has opened a conversation: milliseconds in the ordinary case, some seconds when it was
        killed in between.
        """
        conversations = list({each.conversation: None for each in events if each.conversation is not None})
        messages = list({each.message: None for each in events if each.message is not None})
        joined = sum(each.conversation is not None for each in events)
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + self._patience_s, _FIRST_PAUSE_S
        while True:
            try:
                with budget(deadline - loop.time()):
                    current = (
                        await self._look(user, conversations, messages)
                        if conversations or messages
                        else Current({}, {})
                    )
                frames = [self._frame(each, current) for each in events]
                self._metrics.joins.labels(outcome="joined").inc(joined)
                return frames
            except ChatError as error:
                if loop.time() + pause >= deadline:
                    _log.warning("events_not_told", reason=error.reason.value, events=len(events))
                    break
            except Exception as error:  # noqa: BLE001 - whatever it is, the user's sockets must not stay behind
                _log.error("events_failed", exception=safe_traceback(error))
                break
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE_S, pause * 2)
        self._metrics.joins.labels(outcome="failed").inc(max(1, joined))
        return None

    def _frame(self, event: Event, current: Current) -> bytes | None:
        if event.conversation is not None:
            view = current.conversations.get(event.conversation)
            if view is not None:
                return event.frame(view)
            # Either way: one that has a time to come would be waited for until then.
            if abs(self._clock.now() - datetime.fromisoformat(event.occurred_at)) < _SETTLED:
                raise ChatError(Reason.UNAVAILABLE, "The conversation is not there for its member.")
            return None
        if event.message is not None:
            message = current.messages.get(event.message)
            return None if message is None else event.frame({"message": message})
        return event.frame(event.data)
