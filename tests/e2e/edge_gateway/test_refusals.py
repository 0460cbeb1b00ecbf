"""What is refused, and what the one who is refused can tell from it: over the real services."""

from __future__ import annotations

import uuid

import pytest

from deploy.local.system import System
from edge_gateway.app import ROUTES
from tests.support.people import Json, Reply, Town

UNKNOWN = "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"


BODIES: dict[tuple[str, str], Json] = {
    ("POST", "/v1/conversations/{id}/messages"): {"clientMessageId": "c", "text": "t"},
    ("PATCH", "/v1/conversations/{id}/messages/{messageId}"): {"text": "t"},
    ("PATCH", "/v1/conversations/{id}"): {"muted": True},
    ("PUT", "/v1/conversations/{id}/read"): {"lastReadSeq": 1},
}
_VARYING = {"date", "x-request-id", "traceparent", "ratelimit"}


def told(answer: Reply) -> tuple[int, bytes, tuple[tuple[str, str], ...]]:
    """All of an answer by which one could be told from another."""
    kept = sorted((name.lower(), value) for name, value in answer.headers.items())
    return answer.status, answer.without_request_id(), tuple(each for each in kept if each[0] not in _VARYING)


@pytest.mark.parametrize(
    ("method", "template"),
    [(route.method, route.template) for route in ROUTES if "{id}" in route.template],
)
async def test_foreign_unknown_and_impossible_ids_are_the_same_bytes(
    town: Town, method: str, template: str
) -> None:
    ada, bob, eve = (
        await town.person("recruiter"),
        await town.person("candidate"),
        await town.person("company"),
    )
    started = (await ada.start(bob)).body
    foreign, message = started["conversation"]["id"], started["message"]["id"]
    answers = []
    for where, which in (
        (foreign, message),
        (UNKNOWN, UNKNOWN),
        ("nonsense", "nonsense"),
        (foreign.upper(), message),
        ("%ff", "%00"),
    ):
        path = template.removeprefix("/v1").replace("{id}", where).replace("{messageId}", which)
        answers.append(await eve.ask(method, path, BODIES.get((method, template))))
    assert {(answer.status, answer.code) for answer in answers} == {(404, "not_found")}
    assert len({told(answer) for answer in answers}) == 1


async def test_waiting_declined_and_blocked_read_alike_to_who_asked(town: Town) -> None:
    sender = await town.person("recruiter")
    answers, elsewhere, views = [], [], []
    for end in ("waits", "declines", "blocks", "declines and blocks"):
        other = await town.person("candidate")
        where = (await sender.start(other)).body["conversation"]["id"]
        if "declines" in end:
            await other.post("decline", where, {"block": "blocks" in end})
        elif end == "blocks":
            await other.request("PUT", "/blocks/{userId}", userId=sender.user_id)
        answers.append(await sender.send(where, "again"))
        elsewhere.append(await sender.start(other, context={"jobId": "another"}))
        view = await sender.view(where)
        views.append({name: view[name] for name in ("state", "policy", "folder", "version", "unreadCount")})
    for each in (answers, elsewhere):
        assert {(answer.status, answer.code) for answer in each} == {(409, "request_pending")}
        assert len({answer.without_request_id() for answer in each}) == 1
    assert all(view == views[0] for view in views)


async def test_who_cannot_be_written_to_is_not_told_apart(town: Town) -> None:
    sender = await town.person("recruiter")
    blocker = await town.person("candidate")
    await blocker.request("PUT", "/blocks/{userId}", userId=sender.user_id)
    nobody = town.visitor(f"nobody-{uuid.uuid4().hex}", "")
    answers = [await sender.start(blocker), await sender.start(nobody)]
    assert {(answer.status, answer.code) for answer in answers} == {(403, "undeliverable")}
    assert len({told(answer) for answer in answers}) == 1


async def test_bad_tokens_of_every_kind_are_one_answer(town: Town) -> None:
    good = await town.person()
    expired = await town.token(good.user_id, expiresIn=-60)
    head, body, signature = good.token.split(".")
    answers = [
        await town.visitor("x", token).request("GET", "/me")
        for token in (
            expired,
            "x",
            f"{head}.{body}.",
            f"{head}.{body}.{signature[::-1]}",
            f"{body}.{body}.{signature}",
        )
    ]
    assert {(answer.status, answer.code) for answer in answers} == {(401, "unauthenticated")}
    assert len({answer.without_request_id() for answer in answers}) == 1


async def test_a_repeat_has_the_same_answer_and_another_body_a_conflict(town: Town) -> None:
    ada, bob = await town.person("recruiter"), await town.person("candidate")
    started = await ada.start(bob, "Hi")
    where, first = started.body["conversation"]["id"], started.body["message"]
    again = await ada.request(
        "POST",
        "/conversations",
        {"recipientId": bob.user_id, "message": {"clientMessageId": first["clientMessageId"], "text": "Hi"}},
    )
    assert (again.status, again.body["conversation"]["id"], again.body["message"]) == (200, where, first)
    repeat = await ada.send(where, "Hi", first["clientMessageId"])
    assert (repeat.status, repeat.body) == (200, first)
    conflict = await ada.send(where, "Ho", first["clientMessageId"])
    assert (conflict.status, conflict.code) == (422, "idempotency_conflict")


async def test_sending_accepts_for_the_recipient_also_by_starting(town: Town) -> None:
    ada, bob = await town.person("recruiter"), await town.person("candidate")
    where = (await ada.start(bob)).body["conversation"]["id"]
    answered = await bob.start(ada, "Hello back")
    assert (answered.status, answered.body["conversation"]["id"]) == (200, where)
    assert (answered.body["conversation"]["state"], answered.body["message"]["seq"]) == ("active", 2)
    assert (await ada.send(where, "Nice")).status == 201


async def test_a_request_that_was_answered_cannot_be_answered_otherwise(town: Town) -> None:
    ada, bob = await town.person("recruiter"), await town.person("candidate")
    withdrawn = (await ada.start(bob)).body["conversation"]["id"]
    assert (await ada.post("withdraw", withdrawn)).body["state"] == "withdrawn"
    assert (await ada.post("withdraw", withdrawn)).status == 200
    assert (await bob.post("accept", withdrawn)).code == "request_closed"
    assert (await bob.send(withdrawn)).code == "request_closed"
    assert await bob.folder("requests") == []
    carl = await town.person("candidate")
    declined = (await ada.start(carl)).body["conversation"]["id"]
    assert (await carl.post("decline", declined)).body["folder"] is None
    assert (await carl.post("accept", declined)).code == "request_closed"
    assert (await carl.view(declined))["state"] == "declined"


async def test_a_candidate_cannot_start_with_a_candidate(town: Town) -> None:
    ada, bob = await town.person("candidate"), await town.person("candidate")
    answer = await ada.start(bob)
    assert answer.status == 403
    assert answer.code in ("forbidden", "undeliverable")


async def test_lists_end_where_they_end_and_belong_to_who_asked(town: Town) -> None:
    ada, other = await town.person("recruiter"), await town.person("recruiter")
    made = []
    for _ in range(5):
        bob = await town.person("candidate")
        made.append((await ada.start(bob)).body["conversation"]["id"])
    seen: list[str] = []
    query, cursors = "?folder=sent&limit=2", []
    while True:
        page = await ada.get("/conversations", query=query)
        seen += [item["id"] for item in page["items"]]
        if page["nextCursor"] is None:
            break
        cursors.append(page["nextCursor"])
        query = f"?folder=sent&limit=2&cursor={page['nextCursor']}"
    assert seen == made[::-1]
    stolen = await other.request("GET", "/conversations", query=f"?folder=sent&cursor={cursors[0]}")
    assert (stolen.status, stolen.code) == (404, "not_found")
    elsewhere = await ada.request("GET", "/conversations", query=f"?folder=inbox&cursor={cursors[0]}")
    assert (elsewhere.status, elsewhere.body["errors"][0]["pointer"]) == (400, "/cursor")
    # How many one asks for is not part of what one asks.
    longer = await ada.get("/conversations", query=f"?folder=sent&limit=3&cursor={cursors[0]}")
    assert [item["id"] for item in longer["items"]] == made[2::-1]
    with_blocks = await ada.request("GET", "/blocks", query=f"?cursor={cursors[0]}")
    assert with_blocks.status == 400


async def test_blocks_are_listed_newest_first_over_pages(town: Town) -> None:
    ada = await town.person("recruiter")
    people = [await town.person("candidate") for _ in range(3)]
    for person in people:
        assert (await ada.request("PUT", "/blocks/{userId}", userId=person.user_id)).status == 204
        assert (await ada.request("PUT", "/blocks/{userId}", userId=person.user_id)).status == 204
    first = await ada.get("/blocks", query="?limit=2")
    second = await ada.get("/blocks", query=f"?limit=2&cursor={first['nextCursor']}")
    listed = [item["user"]["id"] for item in first["items"] + second["items"]]
    assert listed == [person.user_id for person in people][::-1]
    assert second["nextCursor"] is None


async def test_messages_are_listed_around_before_and_after(town: Town) -> None:
    ada, bob = await town.person("recruiter"), await town.person("candidate")
    where = (await ada.start(bob)).body["conversation"]["id"]
    await bob.post("accept", where)
    for number in range(2, 11):
        await ada.send(where, f"m{number}")

    async def seqs(query: str) -> tuple[list[int], bool, bool]:
        page: Json = await bob.get("/conversations/{id}/messages", query=query, id=where)
        return [item["seq"] for item in page["items"]], page["hasOlder"], page["hasNewer"]

    assert await seqs("?limit=3") == ([8, 9, 10], True, False)
    assert await seqs("?limit=3&beforeSeq=8") == ([5, 6, 7], True, True)
    assert await seqs("?limit=3&afterSeq=2") == ([3, 4, 5], True, True)
    around, older, newer = await seqs("?limit=3&aroundSeq=5")
    assert (5 in around, len(around), older, newer) == (True, 3, True, True)
    assert await seqs("?beforeSeq=1") == ([], False, True)
    assert await seqs("?afterSeq=10") == ([], True, False)


async def test_a_read_mark_never_goes_back_nor_beyond_the_end(town: Town) -> None:
    ada, bob = await town.person("recruiter"), await town.person("candidate")
    where = (await ada.start(bob)).body["conversation"]["id"]
    for asked, stands in ((0, 0), (99, 1), (2**53 - 1, 1), (0, 1)):
        mark = await bob.request("PUT", "/conversations/{id}/read", {"lastReadSeq": asked}, id=where)
        assert (mark.status, mark.body["lastReadSeq"]) == (200, stands)
    for wrong in (-1, "1", 1.5, None, 2**63):
        refused = await bob.request("PUT", "/conversations/{id}/read", {"lastReadSeq": wrong}, id=where)
        assert (refused.status, refused.body["errors"][0]["pointer"]) == (400, "/lastReadSeq")


@pytest.mark.parametrize(
    "text",
    [
        "x" * 8000,
        "😀" * 8000,
        "a\u202eb\u2066c",
        "Z̷͎̈́a̵͓͑l̶̡̈g̸̥̈́o̴̢̕" * 100,
        "👩‍👩‍👧‍👦",
        " \t\n ",
        "\x01\x7f",
        "<script>alert(1)</script>",
        "{}\\u0000",
    ],
)
async def test_text_comes_back_exactly_as_it_was_sent(town: Town, text: str) -> None:
    ada, bob = await town.person("recruiter"), await town.person("candidate")
    started = await ada.start(bob, text)
    assert started.body["message"]["text"] == text
    listed = await bob.get("/conversations/{id}/messages", id=started.body["conversation"]["id"])
    assert listed["items"][0]["text"] == text


async def test_a_message_is_refused_that_is_too_long_or_empty(town: Town) -> None:
    ada, bob = await town.person("recruiter"), await town.person("candidate")
    for text in ("", "x" * 8001):
        refused = await ada.start(bob, text)
        assert (refused.status, refused.body["errors"][0]["pointer"]) == (400, "/message/text")
    where = (await ada.start(bob)).body["conversation"]["id"]
    for name, value in (
        ("text", ""),
        ("text", "x" * 8001),
        ("clientMessageId", "a b"),
        ("clientMessageId", "c" * 65),
    ):
        body = {"clientMessageId": "c", "text": "t", name: value}
        refused = await ada.request("POST", "/conversations/{id}/messages", body, id=where)
        assert (refused.status, refused.body["errors"][0]["pointer"]) == (400, f"/{name}")


async def test_a_message_has_no_attachments_yet_and_none_is_dropped_in_silence(town: Town) -> None:
    ada, bob = await town.person("recruiter"), await town.person("candidate")
    where = (await ada.start(bob)).body["conversation"]["id"]
    nothing: list[object] = [[], None]
    for none in nothing:
        sent = await bob.send(where, "without", attachmentIds=none)
        assert (sent.status, sent.body["attachments"]) == (201, [])
    for text in ("with one", ""):
        refused = await bob.send(where, text, attachmentIds=["0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"])
        assert (refused.status, refused.code) == (409, "attachment_unavailable")
    bad: list[object] = ["x", [1], [None], [""], ["x" * 65], ["x"] * 11, {}]
    for wrong in bad:
        refused = await bob.send(where, "wrong", attachmentIds=wrong)
        assert (refused.status, [each["pointer"] for each in refused.body["errors"]]) == (
            400,
            ["/attachmentIds"],
        )
    assert (await bob.view(where))["lastSeq"] == 3


async def test_oneself_cannot_be_blocked_or_written_to(town: Town) -> None:
    ada = await town.person("recruiter")
    assert (await ada.request("PUT", "/blocks/{userId}", userId=ada.user_id)).status in (400, 403)
    assert (await ada.start(ada)).status in (400, 403)


async def test_no_token_and_no_text_is_in_any_log(town: Town, system: System) -> None:
    ada, bob = await town.person("recruiter"), await town.person("candidate")
    secret = f"between-us-{uuid.uuid4().hex}"
    where = (await ada.start(bob, secret)).body["conversation"]["id"]
    await ada.send(where, secret)
    async with bob.live() as live:
        await live.say(type="auth.refresh", token=ada.token)
        assert await live.closed() == 4500
    for name in system.programs:
        log = system.read_log(name)
        assert "eyJ" not in log, name
        assert secret not in log, name
