"""What people show of themselves, and starts that are repeated."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.people import Town, new_message


async def test_settings_are_ones_own_and_change_by_name(town: Town) -> None:
    ada, bob = await town.person("recruiter"), await town.person("candidate")
    everything = {"readReceipts": True, "typingIndicators": True, "presence": True}
    assert (await ada.get("/me"))["settings"] == everything
    changed = await ada.request("PATCH", "/me/settings", {"presence": False, "typingIndicators": None})
    assert (changed.status, changed.body) == (200, {**everything, "presence": False})
    assert (await ada.request("PATCH", "/me/settings", {})).body == changed.body
    assert (await ada.get("/me"))["settings"] == changed.body
    assert (await bob.get("/me"))["settings"] == everything
    wrong = await ada.request("PATCH", "/me/settings", {"presence": "no", "readReceipts": 1})
    assert (wrong.status, wrong.code) == (400, "validation_failed")
    assert sorted(error["pointer"] for error in wrong.body["errors"]) == ["/presence", "/readReceipts"]


async def test_who_hides_receipts_neither_shows_nor_sees_them(town: Town) -> None:
    ada, bob = await town.person("recruiter"), await town.person("candidate")
    where = (await ada.start(bob)).body["conversation"]["id"]
    await bob.post("accept", where)
    for person in (ada, bob):
        await person.send(where, "hello")
        await person.request("PUT", "/conversations/{id}/read", {"lastReadSeq": 3}, id=where)

    async def seen(by: str) -> int | None:
        viewer, other = (ada, bob) if by == "ada" else (bob, ada)
        view = await viewer.view(where)
        marks = {each["user"]["id"]: each["lastReadSeq"] for each in view["participants"]}
        mark: int | None = marks[other.user_id]
        return mark

    assert (await seen("ada"), await seen("bob")) == (3, 2)
    await ada.request("PATCH", "/me/settings", {"readReceipts": False})
    assert (await seen("ada"), await seen("bob")) == (None, None)
    assert (await bob.view(where))["unreadCount"] == 0
    await ada.request("PATCH", "/me/settings", {"readReceipts": True})
    assert (await seen("ada"), await seen("bob")) == (3, 2)


async def test_a_start_with_a_key_is_made_once(town: Town) -> None:
    ada = await town.person("recruiter")
    bob, eve = await town.person("candidate"), await town.person("candidate")
    message = new_message("hello")
    answers = await asyncio.gather(*(ada.start(bob, key="k 1", message=message) for _ in range(8)))
    assert 201 in {answer.status for answer in answers} <= {200, 201}
    assert len({answer.body["conversation"]["id"] for answer in answers}) == 1
    assert len({answer.body["message"]["id"] for answer in answers}) == 1
    assert (await ada.start(bob, key="k 1", message=message)).status == 200
    await ada.start(eve, key="k 2")
    for other in (
        await ada.start(eve, key="k 1", message=message),
        await ada.start(bob, key="k 1", message={**message, "text": "other"}),
    ):
        assert (other.status, other.code) == (422, "idempotency_conflict")


@pytest.mark.parametrize("key", ["x" * 256, "schlüssel"])
async def test_what_is_no_key_is_refused(town: Town, key: str) -> None:
    ada, bob = await town.person("recruiter"), await town.person("candidate")
    answer = await ada.start(bob, key=key)
    assert (answer.status, answer.code) == (400, "validation_failed")
    assert [error["pointer"] for error in answer.body["errors"]] == ["/Idempotency-Key"]
