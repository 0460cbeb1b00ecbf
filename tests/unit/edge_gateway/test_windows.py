"""What may be shown of what a socket has open."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import cast

from edge_gateway.sockets.session import Session
from edge_gateway.sockets.windows import Screen, Window, doubted


class Reader:
    """As much of a session as a window asks of one."""

    def __init__(self) -> None:
        self.behind = False
        self.told: list[bytes] = []

    def offer(self, frame: bytes) -> bool:
        if not self.behind:
            self.told.append(frame)
        return not self.behind


def window(**screens: Iterable[str]) -> tuple[Window, Reader]:
    """A window whose screens show these people, as it was answered."""
    reader = Reader()
    made = Window(cast("Session", reader))
    for name, present in screens.items():
        screen = Screen(made, name, asyncio.get_running_loop().create_future(), lambda _screen: None)
        screen.present, screen.known, screen.due = frozenset(present), True, False
        made.screens[name] = screen
    made.people = made.wanted()
    return made, reader


async def test_somebody_is_seen_while_one_screen_shows_them() -> None:
    made, _ = window(first={"ada", "bob"}, second={"ada"})
    assert made.wanted() == {"ada", "bob"}
    made.screens["first"].doubt()
    assert (made.sees("ada"), made.sees("bob"), made.shows("first"), made.shows("third")) == (
        True,
        False,
        False,
        False,
    )
    assert made.due() == [made.screens["first"]]


async def test_doubt_about_somebody_is_about_the_screens_that_show_them() -> None:
    made, _ = window(first={"ada", "bob"}, second={"ada"})
    other, _ = window(first={"cid"})
    assert doubted([made, other], "bob") == {made}
    assert [screen.known for screen in made.screens.values()] == [False, True]
    assert doubted([made, other]) == {made, other}
    assert [screen.doubts for screen in made.screens.values()] == [2, 1]


async def test_what_is_not_told_makes_it_look_again() -> None:
    made, reader = window(first={"ada", "bob"})
    made.show_presence("ada", b"one")
    reader.behind = True
    made.show_presence("ada", b"two")
    assert (reader.told, made.stale) == ([b"one"], {"ada"})
    reader.behind = False
    made.show_presence("ada", b"three")
    assert (reader.told, made.stale) == ([b"one", b"three"], set())
    made.screens["first"].doubt()
    made.show_presence("bob", b"four")
    assert (reader.told, made.stale) == ([b"one", b"three"], {"bob"})


async def test_what_is_told_while_it_looks_is_noted_as_newer() -> None:
    made, _ = window(first={"ada", "bob"})
    made.heard = set()
    made.show_presence("ada", b"one")
    made.screens["first"].doubt()
    made.show_presence("bob", b"two")
    assert made.heard == {"ada"}
