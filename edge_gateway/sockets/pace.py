"""How much may be said over sockets: each has a budget of frames, and so has a person over all of theirs.

What is too much is refused unread. Only a socket whose own frames are refused again and again is at fault: it
has used up its patience and is closed, and the person's other sockets stay.
"""

from __future__ import annotations

from collections import deque
from weakref import WeakValueDictionary

from edge_gateway.rates import Bucket, Policy


class Paces:
    """Of one edge. `socket`: frames over one; `person`: messages over all of theirs; None = not counted."""

    def __init__(self, socket: Policy | None, person: Policy | None) -> None:
        self._socket = socket
        self._person = person
        self._people: WeakValueDictionary[str, Bucket] = WeakValueDictionary()
        self._recent: deque[tuple[float, Bucket]] = deque()
        """Of people whose sockets spoke first a moment ago, and until when: who leaves and comes back at once
        goes on with what was left."""

    def begin(self, now: float) -> Pace | None:
        """For a socket that has its first frame; None when nothing is counted. `now`: seconds."""
        patience = self._socket or self._person
        if patience is None:
            return None
        return Pace(self, None if self._socket is None else Bucket(self._socket, now), patience)

    def of_person(self, user_id: str, now: float) -> Bucket | None:
        """Shared by the person's sockets, and gone with the last one that asked for it: not sooner after it
        asked than an empty one takes to fill.
        """
        if self._person is None:
            return None
        while self._recent and self._recent[0][0] <= now:
            self._recent.popleft()
        bucket = self._people.get(user_id)
        if bucket is None:
            bucket = self._people[user_id] = Bucket(self._person, now)
        self._recent.append((now + self._person.window_s, bucket))
        return bucket


class Pace:
    """Of one socket."""

    __slots__ = ("_limit", "_own", "_paces", "_patience", "_person")

    def __init__(self, paces: Paces, own: Bucket | None, patience: Policy) -> None:
        self._paces = paces
        self._own = own
        self._limit = patience
        self._patience: Bucket | None = None
        self._person: Bucket | None = None

    def take_control(self, now: float) -> int:
        """0 when a ping or a pong may come now, else how many milliseconds too early it is.

        Theirs is the socket's budget only: one that merely answers pings needs nothing else.
        """
        return 0 if self._own is None else self._own.take(now)

    def take(self, user_id: str, now: float) -> int:
        """The same of a message."""
        if wait_ms := self.take_control(now):
            return wait_ms
        if self._person is None:
            self._person = self._paces.of_person(user_id, now)
        return 0 if self._person is None else self._person.take(now)

    def tires(self, now: float) -> bool:
        """One more was refused. Whether that was too many: as many as may be said at once, and then one."""
        if self._patience is None:
            self._patience = Bucket(self._limit, now)
        return bool(self._patience.take(now))
