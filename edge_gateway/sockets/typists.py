"""Who is shown as typing on this edge's sockets, and until when.

Whoever was told that somebody types is told that they stopped: by them, or by this edge once nothing was
heard of it for a while, or once they may not be told any more. So nothing depends on the edge of who types.
"""

from __future__ import annotations

from collections.abc import Collection

from edge_gateway.sockets import frames, wire
from edge_gateway.sockets.ephemeral import TYPING_STOPPED, Typed
from edge_gateway.sockets.session import Session
from edge_gateway.sockets.wheel import Wheel
from servicekit.clock import Clock

_TICKS = 16
"""Of the wheel in the time after which typing lapses: how exactly that is kept, no more."""


class Typists:
    """`lapse_s`: somebody of whom nothing was heard for so long (and up to an eighth more) has stopped."""

    def __init__(self, clock: Clock, *, lapse_s: float) -> None:
        self._clock = clock
        self._lapse_s = lapse_s
        self._times = Wheel(lapse_s / _TICKS)
        self._typing: dict[str, dict[str, _Typist]] = {}
        """By conversation and user."""

    def hear(self, conversation_id: str, heard: Typed, sessions: Collection[Session]) -> None:
        """Somebody types, still types, or has stopped; `sessions` are those to be told."""
        theirs = self._typing.setdefault(conversation_id, {})
        typist = theirs.get(heard.user_id)
        if heard.started:
            frame = wire.text_frame(heard.frame)
            told = {session for session in sessions if session.offer(frame)}
            if typist is None and told:
                typist = theirs[heard.user_id] = _Typist(self, conversation_id, heard.user_id)
            if typist is not None:
                self._stopped(typist, typist.told.difference(sessions))
                typist.told.update(told)
                self._rest(typist)
                typist.slot = self._times.add(self._lapse_s, typist)
        elif typist is not None:
            for session in tuple(typist.told):
                session.say(heard.frame)
            typist.told.clear()
        self._tidy(conversation_id, heard.user_id)

    def left(self, conversation_id: str, session: Session) -> None:
        """The conversation is not on its screen any more: it is told nothing more of it. Repeatable."""
        for user_id, typist in tuple(self._typing.get(conversation_id, {}).items()):
            typist.told.discard(session)
            self._tidy(conversation_id, user_id)

    def silence(self, user_ids: Collection[str]) -> None:
        """Who may know of these is in doubt: whoever was told that they type is told that they stopped."""
        for theirs in tuple(self._typing.values()):
            for user_id in theirs.keys() & user_ids:
                self.lapse(theirs[user_id])

    def lapse(self, typist: _Typist) -> None:
        """Its time has come."""
        self._rest(typist)
        self._stopped(typist, set(typist.told))
        self._tidy(typist.conversation_id, typist.user_id)

    def _stopped(self, typist: _Typist, sessions: set[Session]) -> None:
        if not sessions:
            return
        frame = frames.event(
            TYPING_STOPPED,
            {"userId": typist.user_id},
            now=self._clock.now(),
            conversation_id=typist.conversation_id,
        )
        for session in sessions:
            session.say(frame)  # never left out: it ends what was told
        typist.told -= sessions

    def _rest(self, typist: _Typist) -> None:
        if typist.slot is not None:
            self._times.remove(typist.slot, typist)
            typist.slot = None

    def _tidy(self, conversation_id: str, user_id: str) -> None:
        """Keeps nobody whom no socket is shown."""
        theirs = self._typing.get(conversation_id)
        if theirs is None:
            return
        typist = theirs.get(user_id)
        if typist is not None and not typist.told:
            self._rest(typist)
            del theirs[user_id]
        if not theirs:
            del self._typing[conversation_id]


class _Typist:
    """Somebody who types in a conversation."""

    __slots__ = ("_typists", "conversation_id", "slot", "told", "user_id")

    def __init__(self, typists: Typists, conversation_id: str, user_id: str) -> None:
        self._typists = typists
        self.conversation_id = conversation_id
        self.user_id = user_id
        self.told: set[Session] = set()
        self.slot: int | None = None
        """Of its time in the wheel."""

    def on_time(self) -> None:
        """Nothing was heard of it for too long."""
        self._typists.lapse(self)
