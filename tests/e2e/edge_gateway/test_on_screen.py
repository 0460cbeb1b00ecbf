"""Who is here and who types, as it is told over two edges to those who have the conversation on screen."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import quote

import pytest
import pytest_asyncio

from deploy.local.system import System
from tests.support.live import Live
from tests.support.people import Json, Person, Town
from tests.support.system import bring_back, serves_again
from tests.support.waiting import eventually

_TYPING_MS, _RECHECK_MS = 1500, 1500
_AT_ONCE_S = 5.0
"""By then: far sooner than the first edge, with its ordinary settings, would look again."""
_NOWHERE = "redis://127.0.0.1:1/0"
_numbers = itertools.count(1)


@pytest.fixture
def first(system: System) -> str:
    """An edge with its ordinary settings, and without those of the second."""
    return system.edge_url


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def second(system: System) -> AsyncIterator[str]:
    """An edge that asks again every second or so, and on which nobody types for longer."""
    settings = {"WS_TYPING_MS": str(_TYPING_MS), "WS_RECHECK_MS": str(_RECHECK_MS)}
    yield (await system.add_edge(settings)).url


@dataclass
class Viewer:
    """A socket of somebody, and what it was told that was not looked at yet."""

    live: Live
    seen: set[str] = field(default_factory=set)

    async def ask(self, name: str, where: str) -> Json | None:
        """Says something about a conversation; the problem, if there is one."""
        said = f"said-{next(_numbers)}"
        await self.live.say(type=name, id=said, conversationId=where)

        def answered() -> list[Json]:
            return [frame for frame in self.live.frames if frame.get("replyTo") == said]

        async def answers() -> list[Json]:
            return answered()

        [answer] = await eventually(answers)
        problem: Json | None = answer.get("problem")
        return problem

    async def told(self, name: str) -> Json:
        """`data` of the next frame of a kind."""
        frame = await self.live.frame(name, lambda frame: frame["eventId"] not in self.seen)
        self.seen.add(frame["eventId"])
        data: Json = frame["data"]
        return data

    async def presence(self, user: Person) -> tuple[str, bool]:
        """The next word about somebody: how they are, and whether it is told when they were last seen."""
        data = await self.told("presence.updated")
        assert data["userId"] == user.user_id
        return data["status"], data["lastSeenAt"] is not None

    async def sees(self, user: Person, status: str) -> None:
        """Reads on until somebody is so: that a socket opened or closed is told a moment later."""
        async with asyncio.timeout(_AT_ONCE_S):
            while await self.presence(user) != (status, True):
                continue

    def heard_nothing(self, name: str) -> bool:
        """Whether all frames of a kind were looked at."""
        frames = (frame for frame in self.live.frames if frame["type"] == name)
        return all(frame["eventId"] in self.seen for frame in frames)


@asynccontextmanager
async def viewing(person: Person, edge_url: str, where: str | None = None) -> AsyncIterator[Viewer]:
    """A socket over some edge, with a conversation on screen."""
    async with person.live(edge_url) as live:
        viewer = Viewer(live)
        if where is not None:
            assert await viewer.ask("conversation.open", where) is None
        yield viewer


async def looked_up(viewer: Person, of: Person) -> tuple[str, bool]:
    """The same by GET /presence."""
    [item] = (await viewer.get("/presence", query=f"?userIds={of.user_id}"))["items"]
    return item["status"], item["lastSeenAt"] is not None


async def acquainted(town: Town) -> tuple[Person, Person, str]:
    """Two who talk, of whose sockets so far all has been told."""
    ada, bob, where = await town.talking()
    for viewer, of in ((ada, bob), (bob, ada)):
        await eventually(partial(looked_up, viewer, of), until=lambda found: found == ("offline", True))
    return ada, bob, where


async def test_somebody_is_seen_to_come_to_look_away_and_to_go(town: Town, first: str, second: str) -> None:
    ada, bob, where = await acquainted(town)
    async with viewing(ada, second, where) as hers:
        assert await hers.presence(bob) == ("offline", True)
        async with viewing(bob, first) as his:
            assert await hers.presence(bob) == ("online", True) == await looked_up(ada, bob)
            async with viewing(bob, second):
                await his.live.say(type="presence.ping", status="away")  # one of two devices
            await his.live.say(type="presence.ping", status="away")
            assert await hers.presence(bob) == ("away", True) == await looked_up(ada, bob)
            async with viewing(ada, first, where) as late:
                assert await late.presence(bob) == ("away", True)
        assert await hers.presence(bob) == ("offline", True) == await looked_up(ada, bob)
    assert hers.heard_nothing("presence.updated")


async def test_typing_goes_from_edge_to_edge_and_not_to_oneself(town: Town, first: str, second: str) -> None:
    ada, bob, where = await acquainted(town)
    async with (
        viewing(ada, first, where) as hers,
        viewing(ada, second, where) as her_other,
        viewing(bob, second, where) as his,
        viewing(bob, first) as elsewhere,
    ):
        for typist, reader in ((hers, his), (his, hers)):
            assert await typist.ask("typing.started", where) is None
            assert await typist.ask("typing.started", where) is None  # too soon: nothing is told
            assert await typist.ask("typing.stopped", where) is None
            user = ada if typist is hers else bob
            assert await reader.told("typing.started") == {"userId": user.user_id}
            assert await reader.told("typing.stopped") == {"userId": user.user_id}
        assert await her_other.told("typing.started") == {"userId": bob.user_id}
        assert await her_other.told("typing.stopped") == {"userId": bob.user_id}
        for viewer in (hers, her_other, his, elsewhere):
            assert viewer.heard_nothing("typing.started")
            assert viewer.heard_nothing("typing.stopped")


async def test_typing_ends_with_the_socket_and_by_itself_when_the_edge_is_killed(
    system: System, town: Town, first: str, second: str
) -> None:
    ada, bob, where = await acquainted(town)
    async with viewing(bob, second, where) as his:
        async with viewing(ada, first) as hers:
            await hers.ask("typing.started", where)
            assert await his.told("typing.started") == {"userId": ada.user_id}
        assert await his.told("typing.stopped") == {"userId": ada.user_id}
        try:
            async with viewing(ada, first) as hers:
                await hers.ask("typing.started", where)
                assert await his.told("typing.started") == {"userId": ada.user_id}
                system.kill("edge_gateway")
                async with asyncio.timeout(_TYPING_MS / 1000 + _AT_ONCE_S):
                    assert await his.told("typing.stopped") == {"userId": ada.user_id}
        finally:
            await bring_back(system, "edge_gateway")


async def test_a_block_is_silent_on_both_sides_at_once(town: Town, first: str, second: str) -> None:
    ada, bob, where = await acquainted(town)
    async with (
        viewing(bob, first, where) as his,
        viewing(ada, first, where) as hers,
        viewing(ada, second, where) as her_other,
    ):
        for viewer in (hers, her_other):
            await viewer.sees(bob, "online")
        await his.sees(ada, "online")
        assert (await ada.request("PUT", "/blocks/{userId}", userId=bob.user_id)).status == 204
        async with asyncio.timeout(_AT_ONCE_S):
            assert await his.presence(ada) == ("offline", False)
            for viewer in (hers, her_other):
                assert await viewer.presence(bob) == ("offline", False)
        assert await looked_up(bob, ada) == await looked_up(ada, bob) == ("offline", False)
        for typist in (his, hers):
            assert await typist.ask("typing.started", where) is None
        await his.live.say(type="presence.ping", status="away")

        assert (await ada.request("DELETE", "/blocks/{userId}", userId=bob.user_id)).status == 204
        async with asyncio.timeout(_AT_ONCE_S):
            assert await his.presence(ada) == ("online", True)
            for viewer in (hers, her_other):
                await viewer.sees(bob, "away")
        for viewer in (hers, her_other, his):
            assert viewer.heard_nothing("typing.started")


async def test_a_block_that_no_edge_was_told_of_is_silent_when_it_is_looked_at_again(
    system: System, town: Town, first: str, second: str
) -> None:
    ada, bob, where = await acquainted(town)
    async with viewing(ada, first) as hers, viewing(bob, second, where) as his:
        await his.sees(ada, "online")
        await system.exchange("conversation_svc", settings={"REDIS_URL": _NOWHERE})
        try:
            # conversation_svc was away, and nothing was shown: it is again once this is told.
            await hers.live.say(type="presence.ping", status="away")
            assert await his.presence(ada) == ("away", True)

            async def block() -> int:
                return (await ada.request("PUT", "/blocks/{userId}", userId=bob.user_id)).status

            await eventually(block, until=lambda status: status == 204)
            async with asyncio.timeout(_RECHECK_MS / 1000 + _AT_ONCE_S):
                assert await his.presence(ada) == ("offline", False)
            assert "control_not_told" in system.read_log("conversation_svc")
        finally:
            await system.exchange("conversation_svc")
            await serves_again(system)


async def test_who_hides_is_not_seen_and_sees_nobody(town: Town, first: str, second: str) -> None:
    ada, bob, where = await acquainted(town)
    # Hers where it is asked again soon: who shows himself again is seen after the next question.
    async with viewing(ada, second, where) as hers, viewing(bob, first, where) as his:
        await his.sees(ada, "online")
        await hers.sees(bob, "online")
        await bob.request("PATCH", "/me/settings", {"presence": False, "typingIndicators": False})
        async with asyncio.timeout(_AT_ONCE_S):
            assert await hers.presence(bob) == ("offline", False)
            assert await his.presence(ada) == ("offline", False)
        for typist in (hers, his):
            assert await typist.ask("typing.started", where) is None
        await bob.request("PATCH", "/me/settings", {"presence": True})
        assert await his.presence(ada) == ("online", True)
        assert await hers.presence(bob) == ("online", True)
        assert hers.heard_nothing("typing.started")
        assert his.heard_nothing("typing.started")


async def test_an_accepted_request_shows_who_is_here(town: Town, first: str, second: str) -> None:
    ada, bob = await town.person("recruiter"), await town.person("candidate")
    where = (await ada.start(bob)).body["conversation"]["id"]
    async with viewing(ada, first, where) as hers, viewing(bob, second, where) as his:
        assert await his.ask("typing.started", where) is None
        assert (await ada.get("/presence", query=f"?userIds={bob.user_id}"))["items"] == []
        assert hers.heard_nothing("presence.updated")
        assert his.heard_nothing("presence.updated")
        assert (await bob.post("accept", where)).status == 200
        await hers.sees(bob, "online")
        await his.sees(ada, "online")
        assert hers.heard_nothing("typing.started")


async def test_a_conversation_of_others_is_not_there(town: Town, first: str, second: str) -> None:
    _, _, where = await town.talking()
    stranger = await town.person("company")
    async with viewing(stranger, second) as theirs:
        for said in ("conversation.open", "typing.started"):
            problem = await theirs.ask(said, where)
            assert problem is not None
            assert problem["code"] == "not_found"
        assert await theirs.ask("conversation.close", where) is None


async def test_somebody_whose_id_holds_commas_is_asked_for_like_anybody(town: Town) -> None:
    ada, user_id = await town.person(), f"uid=bob,ou={uuid.uuid4().hex},o=people"
    bob = town.visitor(user_id, await town.token(user_id, "candidate"))
    await bob.get("/me")
    where = (await ada.start(bob)).body["conversation"]["id"]
    assert (await bob.post("accept", where)).status == 200
    asked = quote(user_id, safe="")
    for query in (f"?userId={asked}&userIds={ada.user_id}", f"?userIds={ada.user_id}&userId={user_id}"):
        items = (await ada.get("/presence", query=query))["items"]
        assert [item["userId"] for item in items] == [ada.user_id, user_id]
    # By `userIds` these are three people whom nobody knows, encoded or not.
    for query in (f"?userIds={user_id}", f"?userIds={asked}"):
        assert (await ada.get("/presence", query=query))["items"] == []
    async with viewing(ada, ada.edge_url, where) as hers, bob.live():
        await hers.sees(bob, "online")


async def test_presence_is_asked_of_some_people_at_most(town: Town) -> None:
    ada, bob, _ = await town.talking()
    stranger = await town.person("company")
    body = await ada.get("/presence", query=f"?userIds={stranger.user_id},{bob.user_id},{ada.user_id}")
    assert [item["userId"] for item in body["items"]] == [bob.user_id, ada.user_id]
    many = ",".join(f"u{number}" for number in range(101))
    for query in ("", "?userIds=", f"?userIds={many}", "?userIds=a,,b", f"?userIds={'x' * 201}"):
        refused = await ada.request("GET", "/presence", query=query)
        assert (refused.status, refused.code) == (400, "validation_failed")
        assert refused.body["errors"][0]["pointer"] == "/userIds"
