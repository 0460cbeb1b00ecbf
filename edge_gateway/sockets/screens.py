"""What sockets have on screen: of which conversations they are told who is here and who types.

Who may see whom is asked (`looks`) when a conversation is opened, again every half a minute, and at once when
it may have changed. From the moment that it may, and whenever there is no answer, nothing is shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from edge_gateway import problems
from edge_gateway.sockets import ephemeral, wire
from edge_gateway.sockets.crowds import Crowds
from edge_gateway.sockets.looks import Looks, unknown
from edge_gateway.sockets.session import Session
from edge_gateway.sockets.topics import Topics, take_note
from edge_gateway.sockets.typists import Typists
from edge_gateway.sockets.windows import Screen, Window, doubted
from servicekit.realtime import conversation_channel, presence_channel

_PRESENCE, _CONVERSATION = presence_channel(""), conversation_channel("")
_log = structlog.get_logger(__name__)


class Screens:
    """Of all sockets of this edge. `max_open`: conversations of one socket; `timeout_s`: to open one."""

    def __init__(
        self, looks: Looks, topics: Topics[Window], typists: Typists, *, max_open: int, timeout_s: float
    ) -> None:
        self._looks = looks
        self._topics = topics
        self._typists = typists
        self._crowds = Crowds(topics)
        self._max_open = max_open
        self._timeout_s = timeout_s
        self._windows: dict[Session, Window] = {}
        self._people: dict[str, set[Window]] = {}
        """By whose they are."""

    async def open(self, session: Session, conversation_id: str) -> None:
        """Returns once the socket was told who is here, and will be told what changes.

        Raises ProblemError when too many are open, ChatError NOT_FOUND or UNAVAILABLE: then it is not open.
        """
        window = self._windows.get(session)
        if window is None:
            window = self._windows[session] = Window(session)
            self._people.setdefault(session.user_id, set()).add(window)
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        opened.add_done_callback(take_note)
        screen = window.screens.get(conversation_id)
        if screen is not None:
            screen.doubt()
            screen.opened = opened
            window.stale |= screen.present
        elif len(window.screens) >= self._max_open:
            raise problems.invalid(
                "/conversationId", "limit", f"at most {self._max_open} are open at a time: close one first"
            )
        else:
            screen = Screen(window, conversation_id, opened, self._looks.again)
            self._looks.add(screen)
        self._looks.begin(window)
        shown = False
        try:
            async with asyncio.timeout(self._timeout_s):
                await opened
            shown = True
        except TimeoutError:
            raise unknown() from None
        finally:
            if not shown:
                self.close(session, conversation_id)

    def close(self, session: Session, conversation_id: str) -> None:
        """It is on screen no more. Repeatable."""
        window = self._windows.get(session)
        screen = None if window is None else window.screens.get(conversation_id)
        if window is None or screen is None:
            return
        self._looks.drop(screen)
        self._looks.trim(window)
        if not window.screens:
            self._forget(window)

    def forget(self, session: Session) -> None:
        """The socket is gone, with all that it had open. Repeatable."""
        window = self._windows.get(session)
        if window is not None:
            for screen in tuple(window.screens.values()):
                self._looks.drop(screen)
            self._looks.trim(window)
            self._forget(window)

    def _forget(self, window: Window) -> None:
        self._looks.end(window)
        del self._windows[window.session]
        theirs = self._people[window.session.user_id]
        theirs.remove(window)
        if not theirs:
            del self._people[window.session.user_id]

    def look_again(self, user_ids: Sequence[str]) -> None:
        """Who may see these people may have changed, or whom they may: nothing of it is shown until it is
        known.
        """
        self._looks.changed(user_ids)
        self._typists.silence(frozenset(user_ids))
        touched: set[Window] = set()
        for user_id in user_ids:
            touched |= doubted(self._people.get(user_id, ()))
            watching = self._topics.of(presence_channel(user_id).encode())
            touched |= doubted(watching, user_id)
        for window in touched:
            self._looks.begin(window)

    def hear_presence(self, channel: bytes, payload: bytes) -> None:
        """What the channel of somebody's presence carried."""
        try:
            user_id = channel.decode().removeprefix(_PRESENCE)
            frame = wire.text_frame(ephemeral.presence(payload))
        except ValueError:
            _log.error("presence_unreadable", size=len(payload))
            return
        self._crowds.tell(channel, user_id, frame)

    def hear_typing(self, channel: bytes, payload: bytes) -> None:
        """What the channel of a conversation carried."""
        try:
            conversation_id = channel.decode().removeprefix(_CONVERSATION)
            heard = ephemeral.typed(payload)
        except ValueError:
            _log.error("typing_unreadable", size=len(payload))
            return
        sessions = {
            window.session
            for window in self._topics.of(channel)
            if window.shows(conversation_id)
            and window.session.user_id in heard.people
            and window.session.user_id != heard.user_id
        }
        self._typists.hear(conversation_id, heard, sessions)
