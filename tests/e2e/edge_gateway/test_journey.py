"""Two people and everything they can do, over REST alone."""

from __future__ import annotations

from tests.support.people import Town


async def test_two_people_go_from_a_request_to_talking_to_a_block_and_back(town: Town) -> None:
    recruiter, candidate = await town.person("recruiter"), await town.person("candidate")

    started = await recruiter.start(candidate, "Hi", context={"jobId": "job-1", "jobTitle": "Engineer"})
    assert started.status == 201
    conversation, message = started.body["conversation"], started.body["message"]
    where = conversation["id"]
    assert (conversation["state"], conversation["folder"]) == ("request", "sent")
    assert conversation["context"] == {"jobId": "job-1", "jobTitle": "Engineer"}
    assert (message["seq"], message["text"]) == (1, "Hi")

    refused = await recruiter.send(where, "are you there?")
    assert (refused.status, refused.code) == (409, "request_pending")

    assert await candidate.folder("requests") == [where]
    assert await candidate.unread() == {"messages": 1, "conversations": 1, "requests": 1}
    accepted = await candidate.post("accept", where)
    assert (accepted.status, accepted.body["state"], accepted.body["folder"]) == (200, "active", "inbox")
    assert (await candidate.post("accept", where)).status == 200

    assert (await candidate.send(where, "Hello!")).status == 201
    assert (await recruiter.send(where, "How about Tuesday?")).status == 201
    assert (await recruiter.view(where))["unreadCount"] == 1
    assert (await candidate.view(where))["unreadCount"] == 2
    assert await candidate.unread() == {"messages": 2, "conversations": 1, "requests": 0}

    read = await candidate.request("PUT", "/conversations/{id}/read", {"lastReadSeq": 3}, id=where)
    assert read.body == {
        "lastReadSeq": 3,
        "unreadCount": 0,
        "unread": {"messages": 0, "conversations": 0, "requests": 0},
    }
    marks = {
        each["user"]["id"]: each["lastReadSeq"] for each in (await recruiter.view(where))["participants"]
    }
    assert marks[candidate.user_id] == 3

    listed = await recruiter.get("/conversations/{id}/messages", id=where)
    assert [each["text"] for each in listed["items"]] == ["Hi", "Hello!", "How about Tuesday?"]
    assert (listed["hasOlder"], listed["hasNewer"]) == (False, False)

    blocked = await candidate.request("PUT", "/blocks/{userId}", userId=recruiter.user_id)
    assert blocked.status == 204
    undelivered = await recruiter.send(where, "Hello?")
    assert (undelivered.status, undelivered.code) == (403, "undeliverable")
    assert undelivered.body["detail"] == "Message could not be delivered."
    assert (await candidate.view(where))["policy"]["reason"] == "blocked_by_me"
    assert [each["user"]["id"] for each in (await candidate.get("/blocks"))["items"]] == [recruiter.user_id]

    unblocked = await candidate.request("DELETE", "/blocks/{userId}", userId=recruiter.user_id)
    assert unblocked.status == 204
    assert (await recruiter.send(where, "Tuesday at ten?")).status == 201
    assert (await candidate.view(where))["unreadCount"] == 1
