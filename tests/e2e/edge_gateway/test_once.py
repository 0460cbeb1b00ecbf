"""One client id is one message, however often and wherever it is sent."""

from __future__ import annotations

import asyncio

from deploy.local.system import System
from tests.support.people import Town, new_message


async def test_fifty_sends_of_one_id_over_two_edges_are_one_message(town: Town, system: System) -> None:
    ada, bob, where = await town.talking()
    edges = [ada.at(edge_url) for edge_url in town.edge_urls]
    body = new_message("once")
    async with bob.live() as live:
        answers = await asyncio.gather(
            *(
                edges[number % 2].request("POST", "/conversations/{id}/messages", body, id=where)
                for number in range(50)
            )
        )
        assert sorted(answer.status for answer in answers) == [200] * 49 + [201]
        assert len({answer.raw for answer in answers}) == 1
        await live.frame("message.created")
        listed = await bob.get("/conversations/{id}/messages", id=where)
        assert [item["seq"] for item in listed["items"]] == [1, 2]
        await ada.send(where, "last")
        await live.frame("message.created", lambda frame: frame["data"]["message"]["text"] == "last")
        said = [frame for frame in live.frames if frame["type"] == "message.created"]
        assert len({frame["eventId"] for frame in said}) == 2


async def test_fifty_starts_at_once_are_one_conversation(town: Town) -> None:
    ada, bob = await town.person("recruiter"), await town.person("candidate")
    body = {"recipientId": bob.user_id, "message": new_message("once")}
    answers = await asyncio.gather(*(ada.request("POST", "/conversations", body) for _ in range(50)))
    assert {answer.status for answer in answers} <= {200, 201, 503}
    done = [answer for answer in answers if answer.status != 503]
    assert len({answer.body["conversation"]["id"] for answer in done}) == 1
    assert len({answer.body["message"]["id"] for answer in done}) == 1
    assert len(await bob.folder("requests")) == 1
