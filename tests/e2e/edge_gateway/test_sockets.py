"""What ends a socket of the real process, whose event loop is another than the tests'."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from deploy.local.system import System
from tests.support.edge_metrics import metric
from tests.support.people import Json, Person, Town, new_message
from tests.support.rawsocket import RawSocket, frame
from tests.support.waiting import eventually


async def enter(person: Person, *, receive_buffer: int | None = None) -> RawSocket:
    """A raw socket whose welcome is read."""
    headers = {"Origin": person.edge_url, "Sec-WebSocket-Protocol": f"chat.v1, bearer.{person.token}"}
    raw = await RawSocket.connect(f"{person.edge_url}/ws/chat", headers, receive_buffer=receive_buffer)
    assert raw.status == 101
    assert [(await raw.json())["type"] for _ in range(2)] == ["system.welcome", "system.caught_up"]
    return raw


@pytest.mark.parametrize(
    "data",
    [frame(b"x" * 16_385), frame(b"x" * 500_000), frame(b"x", opcode=2), frame(b"x", masked=False)],
    ids=["one byte too many", "far too many", "binary", "not masked"],
)
async def test_breaking_the_protocol_ends_a_socket(town: Town, data: bytes) -> None:
    raw = await enter(await town.person())
    raw.send(data)
    assert await raw.close_code() == 4503
    await raw.gone()


@pytest.mark.parametrize("origin", ["null", "http://evil.example", "http://127.0.0.1:1"])
async def test_a_foreign_page_is_refused(town: Town, origin: str) -> None:
    person = await town.person()
    headers = {"Origin": origin, "Sec-WebSocket-Protocol": f"chat.v1, bearer.{person.token}"}
    assert (await RawSocket.connect(f"{person.edge_url}/ws/chat", headers)).status == 403


async def test_a_token_that_is_over_and_one_that_is_none(town: Town) -> None:
    person = await town.person()
    for token, code in ((await town.token(person.user_id, expiresIn=-60), 4001), ("x.y.z", 4500)):
        headers = {"Origin": person.edge_url, "Sec-WebSocket-Protocol": f"chat.v1, bearer.{token}"}
        raw = await RawSocket.connect(f"{person.edge_url}/ws/chat", headers)
        assert (raw.status, await raw.close_code()) == (101, code)


async def test_a_reader_that_stalls_is_closed_and_nobody_else_waits(town: Town, system: System) -> None:
    ada, bob = await town.person("recruiter"), await town.person("candidate")
    where = (await ada.start(bob)).body["conversation"]["id"]
    await bob.post("accept", where)
    before = await metric(system, 'edge_sockets_closed_total{code="4003"}')
    stalled = await enter(bob, receive_buffer=4096)
    stalled.writer.transport.pause_reading()  # type: ignore[attr-defined]
    # Both sockets at one edge, where one could make the other wait.
    async with bob.live(bob.edge_url) as reading:
        for number in range(40):
            bodies = [new_message(f"{number}.{each} " + "😀" * 7900) for each in range(8)]
            replies = await asyncio.gather(
                *(ada.request("POST", "/conversations/{id}/messages", body, id=where) for body in bodies)
            )
            last = max(reply.body["seq"] for reply in replies)
            await reading.frame("message.created", has("seq", last))
            if await metric(system, 'edge_sockets_closed_total{code="4003"}') > before:
                break
        else:
            raise AssertionError("the stalled reader was never closed")
        await ada.send(where, "to those who read")
        await reading.frame("message.created", has("text", "to those who read"))
    stalled.writer.transport.resume_reading()  # type: ignore[attr-defined]
    await stalled.gone()


async def test_a_client_that_vanishes_leaves_nothing(town: Town, system: System) -> None:
    async def still_open() -> float:
        return await metric(system, "edge_sockets_open")

    await eventually(still_open, until=lambda count: count == 0)  # of the tests before
    person = await town.person()
    sockets = [await enter(person) for _ in range(5)]
    assert await still_open() == 5
    for raw in sockets:
        raw.abort()
    await eventually(still_open, until=lambda count: count == 0)


def has(field: str, value: object) -> Callable[[Json], bool]:
    """Whether a frame's message has this."""
    return lambda frame: bool(frame["data"]["message"][field] == value)
