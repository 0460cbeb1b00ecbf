"""Ids, numbers and bodies that nobody means: each has an answer of the contract, none is a fault of ours."""

from __future__ import annotations

import itertools
from urllib.parse import quote

import pytest
import pytest_asyncio

from edge_gateway.app import ROUTES
from edge_gateway.routes.route import Body, Route
from tests.support import contract
from tests.support.people import Person, Town

IDS = {
    "a kilobyte": "x" * 1024,
    "NUL": "%00",
    "NUL inside": "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b%00",
    "a newline": "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b%0a",
    "emoji": quote("\U0001f600"),
    "digits of another script": quote("0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5\u0665"),
    "no UTF-8": "%ff%fe",
    "half a surrogate": "%ed%a0%80",
    "dots": "%2e%2e%2f%2e%2e",
    "a slash": "a%2fb",
    "a nil UUID": "00000000-0000-0000-0000-000000000000",
    "a UUID of version 1": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    "a UUID of version 4": "f47ac10b-58cc-4372-a567-0e02b2c3d479",
    "the greatest UUID": "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "a UUID without hyphens": "0193a1b2c3d47e5f8a9b0c1d2e3f4a5b",
    "SQL": quote("' OR 1=1 --"),
    "a format": quote("{0}%s${x}"),
}
NUMBERS = [
    "",
    "-1",
    "-0",
    "+1",
    " 5",
    "5 ",
    "1.5",
    "1e2",
    "0x1",
    "\u0665",
    "%00",
    "NaN",
    str(2**53),
    str(2**53 + 1),
]
NUMBERS += [str(2**63), "9" * 400, "null", "true"]
BODIES: list[object] = [
    {},
    {"clientMessageId": "c", "text": "t"},
    {"clientMessageId": None, "text": {}, "replyToId": 7, "attachmentIds": {}},
    {"recipientId": "\u202e\U0001f600", "message": {"clientMessageId": "c", "text": "t"}},
    {"recipientId": "x" * 200, "message": {"clientMessageId": "c", "text": "t"}, "context": {"url": "a:b"}},
    {"recipientId": [], "message": [], "context": ""},
    {"lastReadSeq": 2**53 - 1},
    {"lastReadSeq": 2**63},
    {"lastReadSeq": 1.0},
    {"muted": 1, "archived": "x"},
    {"readReceipts": 0},
    {"reason": "\U0001f600" * 500, "block": None},
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def person(town: Town) -> Person:
    return await town.person("recruiter")


async def check(person: Person, route: Route, path: str, body: object = None) -> None:
    """Asks, and holds the answer against the contract."""
    given = None if route.body is Body.NONE else body
    reply = await person.ask(route.method, path.removeprefix("/v1"), given)
    assert reply.status < 500, (route.method, path, body, reply.raw)
    kind = reply.headers.get("Content-Type", "")
    contract.check_answer(route.method, route.template, reply.status, kind, reply.body)


def name_of(route: Route) -> str:
    return f"{route.method} {route.template}"


@pytest.mark.parametrize("route", [each for each in ROUTES if "{" in each.template], ids=name_of)
async def test_ids_that_nobody_has(person: Person, route: Route) -> None:
    for what, odd in IDS.items():
        path = route.template.replace("{id}", odd).replace("{messageId}", odd).replace("{userId}", odd)
        for body in BODIES[:2]:
            await check(person, route, path, body)
        assert what


@pytest.mark.parametrize("route", [each for each in ROUTES if each.method == "GET"], ids=name_of)
async def test_numbers_cursors_and_names_that_nobody_means(person: Person, route: Route) -> None:
    path = route.template.replace("{id}", IDS["a UUID of version 4"])
    names = ("limit", "cursor", "folder", "beforeSeq", "afterSeq", "aroundSeq", "after")
    for name, number in itertools.product(names, NUMBERS):
        await check(person, route, f"{path}?{name}={quote(number, safe='%')}")
    for query in (
        "limit=1&limit=x",
        "limit",
        "=",
        "&&&",
        "a=%ff",
        "cursor=%ed%a0%80",
        "beforeSeq=1&afterSeq=1",
    ):
        await check(person, route, f"{path}?{query}")


@pytest.mark.parametrize("route", [each for each in ROUTES if each.body is not Body.NONE], ids=name_of)
async def test_bodies_that_nobody_means(person: Person, route: Route) -> None:
    path = route.template.replace("{id}", IDS["a UUID of version 4"])
    path = path.replace("{messageId}", IDS["a UUID of version 4"])
    for body in BODIES:
        await check(person, route, path, body)
