"""Edits, redactions, replies, links, mute and archive, and how one catches up with them over REST."""

from __future__ import annotations

import uuid

import orjson

from tests.support.people import Json, Person, Town

UNKNOWN = "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"


async def messages(person: Person, where: str) -> list[Json]:
    page = await person.get("/conversations/{id}/messages", id=where)
    items: list[Json] = page["items"]
    return items


async def test_an_edit_is_shown_to_all_and_live_everywhere(town: Town) -> None:
    recruiter, candidate, where = await town.talking()
    sent = (await recruiter.send(where, "first")).body
    async with candidate.live() as theirs, recruiter.live() as own:
        edited = await recruiter.edit(sent, "second")
        assert edited.status == 200
        assert (edited.body["text"], edited.body["seq"], edited.body["editedAt"] is None) == (
            "second",
            2,
            False,
        )
        assert edited.body["changeSeq"] == sent["changeSeq"] + 1
        for live in (theirs, own):
            frame = await live.frame("message.updated")
            assert frame["data"]["message"] == edited.body
    assert (await recruiter.edit(sent, "second")).body == edited.body  # a repeat
    assert (await messages(candidate, where))[1] == edited.body
    assert (await candidate.edit(sent, "mine now")).code == "forbidden"
    await candidate.request("PUT", "/blocks/{userId}", userId=recruiter.user_id)
    assert (await recruiter.edit(sent, "third")).code == "undeliverable"


async def test_a_redacted_text_is_gone_for_good_and_does_not_count(town: Town) -> None:
    recruiter, candidate, where = await town.talking()
    sent = (await recruiter.send(where, "a secret")).body
    before = (await candidate.view(where))["unreadCount"]
    async with candidate.live() as theirs:
        gone = await recruiter.redact(sent)
        assert gone.status == 200
        assert (gone.body["text"], gone.body["links"], gone.body["redactedBy"]) == ("", [], recruiter.user_id)
        frame = await theirs.frame("message.updated")
        assert frame["data"]["message"] == gone.body
    assert (await recruiter.redact(sent)).body == gone.body
    assert (await recruiter.edit(sent, "again")).code == "forbidden"
    view = await candidate.view(where)
    assert (view["unreadCount"], view["lastMessage"]) == (before - 1, gone.body)
    for answer in (await messages(candidate, where), await candidate.changes(where), view):
        assert b"a secret" not in orjson.dumps(answer)
    moderator = await town.person("moderator")
    second = (await recruiter.send(where, "another")).body
    assert (await candidate.redact(second)).code == "forbidden"
    assert (await moderator.redact(second)).body["redactedBy"] == moderator.user_id


async def test_changes_are_every_message_once_in_the_order_of_their_latest_change(town: Town) -> None:
    recruiter, candidate, where = await town.talking()
    sent = [(await recruiter.send(where, f"m{number}")).body for number in range(5)]
    await recruiter.edit(sent[1], "edited")
    await recruiter.edit(sent[3], "edited too")
    page = await candidate.changes(where)
    assert [item["seq"] for item in page["items"]] == [1, 2, 4, 6, 3, 5]
    numbers = [item["changeSeq"] for item in page["items"]]
    assert numbers == sorted(numbers)
    assert numbers[-1] == (await candidate.view(where))["changeSeq"]
    walked, after = [], 0
    while True:
        page = await candidate.changes(where, after=after, limit=2)
        walked += [item["seq"] for item in page["items"]]
        if not page["hasMore"]:
            break
        after = page["items"][-1]["changeSeq"]
    assert walked == [1, 2, 4, 6, 3, 5]
    assert await candidate.changes(where, after=numbers[-1]) == {"items": [], "hasMore": False}
    assert await candidate.changes(where, after=2**53 - 1) == {"items": [], "hasMore": False}


async def test_a_message_may_answer_one_of_its_own_conversation_only(town: Town) -> None:
    recruiter, candidate, where = await town.talking()
    first = (await messages(candidate, where))[0]
    reply = await candidate.send(where, "yes", replyToId=first["id"])
    assert (reply.status, reply.body["replyToId"]) == (201, first["id"])
    other, _, elsewhere = await town.talking()
    foreign = (await messages(other, elsewhere))[0]
    for wrong in (foreign["id"], UNKNOWN, "nonsense", first["id"].upper()):
        answer = await candidate.send(where, "yes", replyToId=wrong)
        assert (answer.status, answer.code) == (400, "validation_failed")
        assert [error["pointer"] for error in answer.body["errors"]] == ["/replyToId"]
    assert (await candidate.send(where, "no", replyToId=None)).body["replyToId"] is None
    assert recruiter.user_id != other.user_id


async def test_links_come_alive_on_accept_as_changes(town: Town) -> None:
    recruiter, candidate = await town.person("recruiter"), await town.person("candidate")
    text = "\U0001f600 see https://jobs.example/1."
    where = (await recruiter.start(candidate, text)).body["conversation"]["id"]
    [asked] = await messages(candidate, where)
    assert (asked["text"], asked["links"]) == (text, [])
    async with candidate.live() as live:
        await candidate.post("accept", where)
        frame = await live.frame("message.updated")
        [link] = frame["data"]["message"]["links"]
        encoded = text.encode("utf-16-le")
        assert encoded[link["start"] * 2 : link["end"] * 2].decode("utf-16-le") == link["url"]
        assert link["url"] == "https://jobs.example/1"
    [alive] = await messages(candidate, where)
    assert (alive["links"], alive["changeSeq"]) == ([link], asked["changeSeq"] + 1)
    assert alive == frame["data"]["message"]


async def test_mute_and_archive_are_ones_own_and_live_on_ones_own_devices(town: Town) -> None:
    recruiter, candidate, where = await town.talking()
    theirs = await recruiter.view(where)
    async with candidate.live() as device:
        archived = await candidate.flag(where, archived=True)
        assert (archived.body["archived"], archived.body["folder"]) == (True, "archived")
        await device.frame("conversation.updated", lambda frame: frame["data"]["self"]["archived"])
        assert (await candidate.folder("archived"), await candidate.folder("inbox")) == ([where], [])
        assert (await candidate.unread())["messages"] == 0
        await recruiter.send(where, "are you there")
        await device.frame("message.created")
        assert await candidate.folder("inbox") == [where]
        muted = await candidate.flag(where, muted=True, archived=True)
        assert (muted.body["muted"], muted.body["archived"]) == (True, True)
        await recruiter.send(where, "hello?")
        assert await candidate.folder("archived") == [where]
        assert (await candidate.unread())["messages"] == 0
        assert (await candidate.view(where))["unreadCount"] == 3
    assert (await candidate.flag(where, muted=False, archived=None)).body["archived"] is True
    assert (await candidate.flag(where)).body["muted"] is False
    assert (await candidate.flag(where, muted="yes")).body["errors"][0]["pointer"] == "/muted"
    view = await recruiter.view(where)
    assert (view["folder"], view["muted"], view["archived"]) == (theirs["folder"], False, False)


async def test_the_watch_list_is_walked_by_a_cursor_of_ones_own(town: Town) -> None:
    recruiter = await town.person("recruiter")
    places = []
    for _ in range(5):
        candidate = await town.person("candidate")
        places.append((await recruiter.start(candidate)).body["conversation"]["id"])
    walked, query = [], "?limit=2"
    while True:
        page = await recruiter.get("/watch-list", query=query)
        walked += [item["conversationId"] for item in page["items"]]
        if page["nextCursor"] is None:
            break
        query = f"?limit=2&cursor={page['nextCursor']}"
    assert walked == places[::-1]
    async with recruiter.live() as live:
        assert live.welcome["watchList"] == (await recruiter.get("/watch-list"))["items"]


async def test_a_cursor_that_is_not_of_this_list_is_refused(town: Town) -> None:
    recruiter, other = await town.person("recruiter"), await town.person("recruiter")
    for _ in range(2):
        await recruiter.start(await town.person("candidate"))
        await other.start(await town.person("candidate"))
    lists = {"/conversations": "?folder=sent&limit=1", "/watch-list": "?limit=1"}
    cursors = {path: (await recruiter.get(path, query=query))["nextCursor"] for path, query in lists.items()}
    theirs = {path: (await other.get(path, query=query))["nextCursor"] for path, query in lists.items()}
    flipped = {path: cursor[:-1] + ("A" if cursor[-1] != "A" else "B") for path, cursor in cursors.items()}
    swapped = {"/conversations": cursors["/watch-list"], "/watch-list": cursors["/conversations"]}
    for path, query in lists.items():
        assert (await recruiter.get(path, query=f"{query}&cursor={cursors[path]}"))["items"]
        stolen = await recruiter.request("GET", path, query=f"{query}&cursor={theirs[path]}")
        assert (stolen.status, stolen.code) == (404, "not_found")
        for wrong in (
            flipped[path],
            swapped[path],
            cursors[path][1:],
            "x",
            "",
            "%00",
            "A" * 3000,
        ):
            answer = await recruiter.request("GET", path, query=f"{query}&cursor={wrong}")
            assert (answer.status, answer.code) == (400, "validation_failed"), wrong
            assert [error["pointer"] for error in answer.body["errors"]] == ["/cursor"]
    # Another folder is another list.
    inbox = await recruiter.request("GET", "/conversations", query=f"?cursor={cursors['/conversations']}")
    assert inbox.code == "validation_failed"


async def test_limits_numbers_and_ids_at_their_edges(town: Town) -> None:
    recruiter, candidate, where = await town.talking()
    stranger = await town.person("company")
    for path, pointer, wrong in (
        *(("/watch-list", "/limit", value) for value in ("0", "101", "-1", "1.5", "x", "", "1e2", "9" * 40)),
        *(("/conversations/{id}/changes", "/limit", value) for value in ("0", "101")),
        *(
            ("/conversations/{id}/changes", "/after", value)
            for value in ("-1", "x", "", str(2**53), "9" * 40)
        ),
        *(("/conversations/{id}/messages", "/beforeSeq", value) for value in ("-1", str(2**53))),
    ):
        query = f"?{pointer[1:]}={wrong}"
        answer = await candidate.request(
            "GET", path, query=query, headers=None, **({"id": where} if "{" in path else {})
        )
        assert (answer.status, answer.code) == (400, "validation_failed"), query
        assert [error["pointer"] for error in answer.body["errors"]] == [pointer]
    for good in ("?limit=1", "?limit=100", f"?after={2**53 - 1}", "?after=0", "?after=00"):
        assert (
            await candidate.request("GET", "/conversations/{id}/changes", query=good, id=where)
        ).status == 200
    [first] = await messages(candidate, where)
    for who, place, message in (
        (stranger, where, first["id"]),
        (candidate, UNKNOWN, first["id"]),
        (candidate, where, UNKNOWN),
        (candidate, where, "nonsense"),
        (candidate, where, first["id"].upper()),
        (candidate, str(uuid.uuid4()), first["id"]),
        (candidate, "nonsense", "nonsense"),
    ):
        given = {"conversationId": place, "id": message}
        for answer in (await who.edit(given, "x"), await who.redact(given)):
            assert (answer.status, answer.code) == (404, "not_found")
    for answer in (
        await stranger.flag(where, muted=True),
        await stranger.request("GET", "/conversations/{id}/changes", id=where),
        await candidate.flag("nonsense", muted=True),
        await candidate.request("GET", "/conversations/{id}/changes", id=UNKNOWN),
    ):
        assert (answer.status, answer.code) == (404, "not_found")
    for text in ("", "x" * 8001, "a\0b"):
        answer = await recruiter.edit(first, text)
        assert [error["pointer"] for error in answer.body["errors"]] == ["/text"]
