"""What is heard about people is told in turns, the newest of each, to those who still listen."""

from __future__ import annotations

import asyncio
from typing import cast

from edge_gateway.sockets.crowds import Crowds
from edge_gateway.sockets.topics import Topics
from edge_gateway.sockets.windows import Window
from tests.support.waiting import eventually


class Redis:
    """Confirms every channel at once."""

    connected = True

    def subscribe(self, channel: str) -> asyncio.Future[None]:
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        confirmed.set_result(None)
        return confirmed

    def unsubscribe(self, channel: str) -> None:
        """Nothing was kept of it."""


class Watcher:
    """As much of a window as is told something."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bytes]] = []
        self.broken = False

    def show_presence(self, user_id: str, frame: bytes) -> None:
        if self.broken:
            raise RuntimeError("the test has it")
        self.told.append((user_id, frame))


async def crowd(number: int, *people: str) -> tuple[Crowds, Topics[Window], list[Watcher]]:
    """So many who listen to each of these people."""
    topics, watchers = Topics[Window](Redis()), [Watcher() for _ in range(number)]
    for each in watchers:
        await topics.join(people, cast("Window", each))
    return Crowds(topics), topics, watchers


async def told(watchers: list[Watcher], *last: tuple[str, bytes]) -> None:
    """Returns when each was told these last."""

    async def all_told() -> bool:
        return all(set(last) <= set(each.told) for each in watchers)

    await eventually(all_told)


async def test_thousands_are_told_over_several_turns_each_once() -> None:
    crowds, _, watchers = await crowd(5000, "bob")
    most, before, turns = 0, 0, 0
    crowds.tell(b"bob", "bob", b"here")
    while before < 5000:
        await asyncio.sleep(0)
        now = sum(len(each.told) for each in watchers)
        most, before, turns = max(most, now - before), now, turns + 1
        assert turns < 1000
    assert most <= 500
    assert turns >= 10
    assert all(each.told == [("bob", b"here")] for each in watchers)


async def test_of_each_the_newest_is_told_last_and_what_it_replaces_may_be_left_out() -> None:
    crowds, _, watchers = await crowd(1000, "bob", "cid")
    for number in range(50):
        crowds.tell(b"bob", "bob", b"%d" % number)
        crowds.tell(b"cid", "cid", b"%d" % number)
        await asyncio.sleep(0)
    await told(watchers, ("bob", b"49"), ("cid", b"49"))
    for each in watchers:
        for person in ("bob", "cid"):
            heard = [int(frame) for user_id, frame in each.told if user_id == person]
            assert heard == sorted(set(heard))
            assert heard[-1] == 49
            assert len(heard) < 50


async def test_who_leaves_before_their_turn_is_told_nothing_and_who_comes_is() -> None:
    crowds, topics, watchers = await crowd(600, "bob", "cid")
    crowds.tell(b"bob", "bob", b"here")
    await asyncio.sleep(0)
    gone = [each for each in watchers if not each.told]
    assert gone
    for each in gone:
        topics.leave(["bob"], cast("Window", each))
    late = Watcher()
    await topics.join(["cid"], cast("Window", late))
    crowds.tell(b"cid", "cid", b"here")
    await told([*watchers, late], ("cid", b"here"))
    assert all(each.told == [("cid", b"here")] for each in [*gone, late])


async def test_what_was_heard_before_all_left_is_not_told_to_who_comes_after_it() -> None:
    crowds, topics, watchers = await crowd(600, "cid")
    again = Watcher()
    await topics.join(["bob"], cast("Window", again))
    crowds.tell(b"cid", "cid", b"here")
    crowds.tell(b"bob", "bob", b"from before")
    topics.leave(["bob"], cast("Window", again))
    await topics.join(["bob", "cid"], cast("Window", again))  # and asks how bob is now
    await told([*watchers, again], ("cid", b"here"))
    crowds.tell(b"cid", "cid", b"there")
    await told([*watchers, again], ("cid", b"there"))
    assert again.told == [("cid", b"here"), ("cid", b"there")]


async def test_a_fault_of_one_is_not_the_end_for_the_others() -> None:
    crowds, _, watchers = await crowd(3, "bob")
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context))

    watchers[0].broken = True
    crowds.tell(b"bob", "bob", b"here")

    async def failed() -> bool:
        return bool(faults)

    await eventually(failed)
    watchers[0].broken = False
    crowds.tell(b"bob", "bob", b"there")
    await told(watchers, ("bob", b"there"))
    asyncio.get_running_loop().set_exception_handler(None)
