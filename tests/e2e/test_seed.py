"""The demo's data through the public API."""

from __future__ import annotations

from collections import Counter
from typing import Any

import aiohttp

from chatctl.rest import Rest, fetch_token
from chatctl.running import Running
from deploy.local.people import PEOPLE
from deploy.local.seed import seed
from deploy.local.stories import load_stories
from deploy.local.system import System

FOLDERS = ("inbox", "requests", "sent")
STORIES = load_stories()


async def everything(system: System) -> dict[str, Any]:
    """What each person sees: totals, lists, and every message."""
    seen: dict[str, Any] = {}
    async with aiohttp.ClientSession() as session:
        for person in PEOPLE:
            who = {"userId": person.id, "role": person.role}
            rest = Rest(session, system.edge_url, await fetch_token(session, system.issuer_url, who))
            me = await rest.get("/me")
            folders = {name: (await rest.get(f"/conversations?folder={name}"))["items"] for name in FOLDERS}
            ids = sorted(each["id"] for items in folders.values() for each in items)
            messages = {each: (await rest.get(f"/conversations/{each}/messages"))["items"] for each in ids}
            seen[person.id] = {"unread": me["unread"], "folders": folders, "messages": messages}
    return seen


async def test_a_second_run_adds_nothing(system: System) -> None:
    running = Running.of(system.describe())
    assert (await seed(running)).total() == len(STORIES)
    first = await everything(system)
    assert (await seed(running))["new"] == 0
    assert await everything(system) == first

    threads = {key: thread for seen in first.values() for key, thread in seen["messages"].items()}
    written = Counter(each["clientMessageId"] for thread in threads.values() for each in thread)
    for story in STORIES:
        for number in range(1, len(story.lines) + 1):
            assert written[f"seed-{story.key}-{number}"] == 1
    assert len({seen["unread"]["messages"] for seen in first.values()}) >= 3


async def test_who_was_declined_cannot_tell(system: System) -> None:
    await seed(Running.of(system.describe()))
    seen = await everything(system)
    (story,) = [each for each in STORIES if each.answer == "declined"]
    opening = f"seed-{story.key}-1"

    def folders_with(person: str) -> list[str]:
        newest = [(name, each["lastMessage"]) for name in FOLDERS for each in seen[person]["folders"][name]]
        return [name for name, message in newest if message["clientMessageId"] == opening]

    assert folders_with(story.initiator) == ["sent"]
    assert folders_with(story.recipient) == []


async def test_what_a_person_changed_since_stays_as_they_left_it(system: System) -> None:
    running = Running.of(system.describe())
    await seed(running)
    async with aiohttp.ClientSession() as session:
        who = {"userId": "yuki.tanaka", "role": "candidate"}
        yuki = Rest(session, system.edge_url, await fetch_token(session, system.issuer_url, who))
        (request,) = (await yuki.get("/conversations?folder=sent"))["items"]
        await yuki.request("POST", f"/conversations/{request['id']}/withdraw", {})
        await yuki.request("PUT", "/blocks/tomas.herrera")
        outcomes = await seed(running)
        assert outcomes["new"] == 0
        assert (await yuki.get(f"/conversations/{request['id']}"))["state"] == "withdrawn"
        await yuki.request("DELETE", "/blocks/tomas.herrera")
