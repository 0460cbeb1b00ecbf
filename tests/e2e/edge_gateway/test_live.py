"""Sockets: who hears what, when, over two edges."""

from __future__ import annotations

import asyncio
import random

from tests.support.people import Json, Reply, Town
from tests.support.waiting import eventually


def text(frame: Json) -> str:
    said: str = frame["data"]["message"]["text"]
    return said


async def test_the_welcome_says_who_one_is_and_what_stands(town: Town) -> None:
    recruiter, candidate, where = await town.talking()
    async with candidate.live() as live:
        welcome = live.welcome
        assert welcome["userId"] == candidate.user_id
        assert (welcome["resumed"], welcome["reason"]) == (False, "no_cursor")
        assert welcome["unread"] == await candidate.unread()
        [watched] = welcome["watchList"]
        assert (watched["conversationId"], watched["state"], watched["lastSeq"]) == (where, "active", 1)
        assert [frame["type"] for frame in live.frames[:2]] == ["system.welcome", "system.caught_up"]
    assert recruiter.user_id != candidate.user_id


async def test_a_request_arrives_live_with_the_receivers_own_view(town: Town) -> None:
    recruiter, candidate = await town.person("recruiter"), await town.person("candidate")
    async with candidate.live() as live, recruiter.live() as own:
        where = (await recruiter.start(candidate, "Hi")).body["conversation"]["id"]
        theirs = await live.frame("conversation.requested")
        assert theirs["conversationId"] == theirs["data"]["conversation"]["id"] == where
        assert theirs["data"]["self"]["folder"] == "requests"
        assert theirs["data"]["self"]["policy"]["reason"] == "accept_required"
        assert theirs["data"]["unread"] == {"messages": 1, "conversations": 1, "requests": 1}
        assert (await own.frame("conversation.requested"))["data"]["self"]["folder"] == "sent"
        assert text(await live.frame("message.created")) == "Hi"


async def test_messages_go_both_ways_and_to_all_devices_over_two_edges(town: Town) -> None:
    recruiter, candidate, where = await town.talking()
    async with recruiter.live() as desk, recruiter.live() as phone, candidate.live() as theirs:
        for sender, said in ((recruiter, "one"), (candidate, "two"), (recruiter, "three")):
            assert (await sender.send(where, said)).status == 201
        for live in (desk, phone, theirs):
            await live.frame("message.created", lambda frame: text(frame) == "three")
            created = [frame for frame in live.frames if frame["type"] == "message.created"]
            assert [text(frame) for frame in created] == ["one", "two", "three"]
            assert [frame["data"]["message"]["seq"] for frame in created] == [2, 3, 4]
        same = [frame["eventId"] for frame in desk.frames if frame["type"] == "message.created"]
        assert same == [frame["eventId"] for frame in phone.frames if frame["type"] == "message.created"]


async def test_acceptance_read_marks_and_counts_are_live(town: Town) -> None:
    recruiter, candidate = await town.person("recruiter"), await town.person("candidate")
    where = (await recruiter.start(candidate)).body["conversation"]["id"]
    async with recruiter.live() as sender, candidate.live() as reader, candidate.live() as other_device:
        await candidate.post("accept", where)
        accepted = await sender.frame("conversation.accepted")
        assert accepted["data"]["conversation"]["state"] == "active"
        assert (await reader.frame("conversation.accepted"))["data"]["self"]["folder"] == "inbox"

        await reader.say(type="read.receipt", id="r1", conversationId=where, lastReadSeq=1)
        assert (await reader.frame("ack"))["replyTo"] == "r1"
        receipt = await sender.frame("read.receipt")
        assert (receipt["data"]["userId"], receipt["data"]["lastReadSeq"]) == (candidate.user_id, 1)
        updated = await other_device.frame(
            "conversation.updated", lambda frame: frame["data"]["self"]["unreadCount"] == 0
        )
        assert updated["data"]["unread"] == {"messages": 0, "conversations": 0, "requests": 0}


async def test_a_decline_is_told_to_the_decliner_alone(town: Town) -> None:
    recruiter, candidate = await town.person("recruiter"), await town.person("candidate")
    async with recruiter.live() as sender, candidate.live() as decliner:
        where = (await recruiter.start(candidate)).body["conversation"]["id"]
        for name in ("conversation.requested", "message.created"):
            await sender.frame(name)
        before, heard = await recruiter.view(where), len(sender.frames)
        assert (await candidate.post("decline", where, {"reason": "not now"})).status == 200
        declined = await decliner.frame("conversation.declined")
        assert declined["data"]["conversation"]["state"] == "declined"
        assert declined["data"]["self"]["folder"] is None
        # Something the sender does hear: had there been news of the decline, it would have come before.
        other = await town.person("candidate")
        await recruiter.start(other)
        await sender.frame("conversation.requested", lambda frame: frame["conversationId"] != where)
        assert [frame for frame in sender.frames[heard:] if frame.get("conversationId") == where] == []
    assert await recruiter.view(where) == before


async def test_a_block_is_told_to_the_blocker_alone(town: Town) -> None:
    recruiter, candidate, where = await town.talking()
    before = await recruiter.view(where)
    async with recruiter.live() as blocked, candidate.live() as blocker:
        await candidate.request("PUT", "/blocks/{userId}", userId=recruiter.user_id)
        assert (await blocker.frame("block.created"))["data"]["userId"] == recruiter.user_id
        mine = await blocker.frame("conversation.updated", lambda frame: frame["data"]["self"]["blockedByMe"])
        assert mine["data"]["self"]["policy"]["canSend"] is False
        assert (await recruiter.send(where)).code == "undeliverable"
        await candidate.request("DELETE", "/blocks/{userId}", userId=recruiter.user_id)
        await blocker.frame("block.removed")
        await recruiter.send(where, "after")
        await blocked.frame("message.created", lambda frame: text(frame) == "after")
        assert {frame["type"] for frame in blocked.frames} == {
            "system.welcome",
            "system.caught_up",
            "message.created",
        }
    after = await recruiter.view(where)
    assert {**after, "participants": None} == {
        **before,
        "participants": None,
        **{name: after[name] for name in ("lastMessage", "lastMessageAt", "lastSeq", "changeSeq")},
        **{name: after[name] for name in ("lastReadSeq", "unreadCount")},
    }


async def test_nothing_falls_between_the_subscription_and_the_welcome(town: Town) -> None:
    recruiter, candidate, where = await town.talking()

    async def last_known(sending: asyncio.Task[Reply]) -> None:
        async with candidate.live() as live:
            sent = (await sending).body["seq"]
            if live.welcome["watchList"][0]["lastSeq"] < sent:
                await live.frame(
                    "message.created", lambda frame: bool(frame["data"]["message"]["seq"] == sent)
                )

    for number in range(40):
        # Sent while the other's handshake is under way: in the welcome or behind it, never in neither.
        sending = asyncio.create_task(recruiter.send(where, f"m{number}"))
        await asyncio.sleep(random.uniform(0, 0.01))
        await last_known(sending)


async def test_the_snapshot_and_the_events_after_it_are_the_next_snapshot(town: Town) -> None:
    recruiter, candidate, where = await town.talking()
    async with candidate.live() as live:
        for said in ("a", "b", "c"):
            await recruiter.send(where, said)
        await candidate.request("PUT", "/conversations/{id}/read", {"lastReadSeq": 2}, id=where)
        updated = await live.frame(
            "conversation.updated", lambda frame: frame["data"]["self"]["lastReadSeq"] == 2
        )
        view = await candidate.view(where)
        mine = updated["data"]["self"]
        assert {name: view[name] for name in mine} == mine
        told = updated["data"]["conversation"]
        assert {name: view[name] for name in told if name != "participantIds"} == {
            name: value for name, value in told.items() if name != "participantIds"
        }
        assert updated["data"]["unread"] == await candidate.unread()

    async def watched() -> Json:
        async with candidate.live() as again:
            first: Json = again.welcome["watchList"][0]
            return first

    row = await eventually(watched, until=lambda found: found["lastSeq"] == 4)
    assert {name: view[name] for name in ("state", "version", "lastSeq", "changeSeq", "lastReadSeq")} == {
        name: row[name] for name in ("state", "version", "lastSeq", "changeSeq", "lastReadSeq")
    }
