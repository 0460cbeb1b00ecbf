"""Asks what may be shown on screens, and tells it.

The order is what makes it complete: who may be seen, then their channels, confirmed, then how they are now.
What the channels say meanwhile is newer than that, and is not told over. A socket's screens are asked by one
task at a time; the questions of many sockets go together, each with its own viewer and answer.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Sequence
from contextvars import Context
from dataclasses import dataclass

import structlog
from splits.chat.presence.v1 import service_pb2 as presence_rpc

from edge_gateway import views
from edge_gateway.batches import Batches
from edge_gateway.clients import TOGETHER
from edge_gateway.clients.presence import MAX_PEOPLE, PresenceCalls
from edge_gateway.metrics import Metrics
from edge_gateway.sockets import frames, wire
from edge_gateway.sockets.ephemeral import PRESENCE_UPDATED, gone
from edge_gateway.sockets.topics import Topics
from edge_gateway.sockets.typists import Typists
from edge_gateway.sockets.wheel import Wheel
from edge_gateway.sockets.windows import Screen, Window
from servicekit.clock import Clock
from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser
from servicekit.realtime import conversation_channel, presence_channel
from servicekit.telemetry import safe_traceback

_TICKS = 8
"""Of the wheel in the shortest of its times: how exactly these are kept, no more."""
_log = structlog.get_logger(__name__)


def unknown() -> ChatError:
    """It is not known what may be shown."""
    return ChatError(Reason.UNAVAILABLE, "What may be shown is not known; try again.")


@dataclass(frozen=True, slots=True)
class Times:
    """In seconds."""

    recheck_s: float
    """How old an answer may get before it is asked anew, whatever was heard meanwhile."""
    answer_s: float
    """Without an answer for so long there is none."""
    again_s: float
    """When there was none, it is asked again after at most so long; then twice that, and so on."""
    again_most_s: float


class Looks:
    """Of all screens of this edge."""

    def __init__(
        self,
        presence: PresenceCalls,
        topics: Topics[Window],
        typists: Typists,
        metrics: Metrics,
        clock: Clock,
        times: Times,
    ) -> None:
        self._watches: Batches[tuple[ActingUser, str], presence_rpc.Watch] = Batches(
            presence.watch, most=TOGETHER
        )
        self._people: Batches[tuple[ActingUser, Sequence[str]], Sequence[presence_rpc.Presence]] = Batches(
            presence.get_together, most=TOGETHER
        )
        self._topics = topics
        self._typists = typists
        self._metrics = metrics
        self._clock = clock
        self._times = times
        self._wheel = Wheel(min(times.recheck_s, times.again_s) / _TICKS)
        self._asking: dict[Window, set[str]] = {}
        """Whose answer is under way, and whom something changed for meanwhile."""

    def add(self, screen: Screen) -> None:
        """It is on screen from now on, and shows nothing yet."""
        screen.window.screens[screen.conversation_id] = screen
        self._metrics.screens_open.inc()

    def drop(self, screen: Screen) -> None:
        """It is on screen no more. Afterwards `trim`."""
        del screen.window.screens[screen.conversation_id]
        self._metrics.screens_open.dec()
        self._rest(screen)
        self._typists.left(screen.conversation_id, screen.window.session)
        self._topics.leave([conversation_channel(screen.conversation_id)], screen.window)
        if screen.opened is not None and not screen.opened.done():
            screen.opened.set_exception(unknown())

    def trim(self, window: Window) -> set[str]:
        """Listens no more to people whom no screen shows; returns who they are."""
        gone_now = window.people - window.wanted()
        window.people -= gone_now
        window.stale -= gone_now
        self._topics.leave((presence_channel(user_id) for user_id in gone_now), window)
        return gone_now

    def end(self, window: Window) -> None:
        """Nothing is open any more."""
        if window.worker is not None:
            window.worker.cancel()

    def changed(self, user_ids: Collection[str]) -> None:
        """Something changed about these: an answer about them that is under way may be from before."""
        for changed in self._asking.values():
            changed.update(user_ids)

    def again(self, screen: Screen) -> None:
        """Its answer has got old."""
        screen.due = True
        self.begin(screen.window)

    def begin(self, window: Window) -> None:
        """Asks what is due, unless that is under way: then it goes on with it."""
        if window.worker is None:
            # Not in the context of whoever came first: what it asks is not theirs alone.
            window.worker = asyncio.get_running_loop().create_task(self._work(window), context=Context())

    async def _work(self, window: Window) -> None:
        try:
            while due := window.due():
                try:
                    await self._look(window, due)
                except (ChatError, TimeoutError) as error:
                    self._failed(due, error)
                except Exception as error:  # noqa: BLE001 - a fault of ours must not leave shown what may not be
                    _log.error("look_failed", exception=safe_traceback(error))
                    self._failed(due, error)
        finally:
            window.worker = None

    async def _look(self, window: Window, due: Sequence[Screen]) -> None:
        doubts = [screen.doubts for screen in due]
        for screen in due:
            screen.due = False
            self._rest(screen)
        self._asking[window] = changed = set[str]()
        try:
            async with asyncio.timeout(self._times.answer_s):
                watches = await asyncio.gather(*(self._ask(screen) for screen in due))
        finally:
            del self._asking[window]
        for screen, watch, doubted in zip(due, watches, doubts, strict=True):
            if window.screens.get(screen.conversation_id) is not screen:
                continue  # closed meanwhile
            if not watch.found:
                self._not_found(screen)
                continue
            screen.present = frozenset(watch.presence_of) - {window.session.user_id}
            if screen.present & changed:
                screen.doubt()
            screen.known = screen.doubts == doubted
            screen.failures = 0
            self._later(screen, self._times.recheck_s * random.uniform(0.8, 1.0))  # noqa: S311 - spreads load
        self._metrics.looks.labels(outcome="answered").inc(len(due))
        for user_id in self.trim(window):
            window.session.say(self._frame(gone(user_id)))  # never left out: it takes back what was told
        await self._show(window, due)
        for screen in due:
            if screen.known and screen.opened is not None and not screen.opened.done():
                screen.opened.set_result(None)

    async def _ask(self, screen: Screen) -> presence_rpc.Watch:
        user = screen.window.session.principal.user
        return await self._watches.ask((user, screen.conversation_id))

    async def _show(self, window: Window, due: Sequence[Screen]) -> None:
        """Listens to whoever may be seen; tells how those are who were not seen before, or of whom something
        was not told. Raises ChatError or TimeoutError.
        """
        new = window.wanted() - window.people
        deaf = [screen for screen in due if screen.known and not screen.listens]
        channels = [presence_channel(user_id) for user_id in new]
        channels += [conversation_channel(screen.conversation_id) for screen in deaf]
        if channels:
            async with asyncio.timeout(self._times.answer_s):
                await self._topics.join(channels, window)
            for screen in deaf:
                screen.listens = True
            window.people |= new
            window.stale |= new
            self.trim(window)  # of what was closed meanwhile
        asked = [user_id for user_id in window.stale if window.sees(user_id)]
        for start in range(0, len(asked), MAX_PEOPLE):
            await self._tell_how(window, asked[start : start + MAX_PEOPLE], new)

    async def _tell_how(self, window: Window, asked: Sequence[str], new: Collection[str]) -> None:
        window.stale.difference_update(asked)
        window.heard = heard = set[str]()
        try:
            async with asyncio.timeout(self._times.answer_s):
                people = await self._people.ask((window.session.principal.user, asked))
        except BaseException:
            window.stale.update(asked)
            raise
        finally:
            window.heard = None
        for each in people:
            if each.user_id in heard:
                continue
            if not window.sees(each.user_id):
                window.stale.add(each.user_id)  # in doubt since it was asked: told with the next answer
                continue
            frame = self._frame(views.presence(each))
            if each.user_id in new:
                window.session.say(frame)
            elif not window.session.offer(wire.text_frame(frame)):
                window.stale.add(each.user_id)

    def _frame(self, data: views.Json) -> bytes:
        return frames.event(PRESENCE_UPDATED, data, now=self._clock.now())

    def _not_found(self, screen: Screen) -> None:
        """Its viewer is not in it, or no more."""
        if screen.opened is None or screen.opened.done():
            self.drop(screen)
        else:
            screen.opened.set_exception(ChatError(Reason.NOT_FOUND, "The viewer is not in it."))

    def _failed(self, screens: Sequence[Screen], error: Exception) -> None:
        """What may be shown is not known: nothing is, until it is."""
        self._metrics.looks.labels(outcome="failed").inc(len(screens))
        for screen in screens:
            if screen.window.screens.get(screen.conversation_id) is not screen:
                continue
            screen.known = False
            if screen.opened is None or screen.opened.done():
                longer = 2.0 ** min(screen.failures, 30)
                pause = min(self._times.again_s * longer, self._times.again_most_s)
                screen.failures += 1
                self._later(screen, pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load
            else:
                screen.opened.set_exception(error if isinstance(error, ChatError) else unknown())

    def _later(self, screen: Screen, seconds: float) -> None:
        self._rest(screen)
        screen.slot = self._wheel.add(seconds, screen)

    def _rest(self, screen: Screen) -> None:
        if screen.slot is not None:
            self._wheel.remove(screen.slot, screen)
            screen.slot = None
