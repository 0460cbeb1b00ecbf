"""Read marks over sockets: gathered by person and conversation, written when they leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest_asyncio
from splits.chat.message.v1 import service_pb2 as message_rpc

from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser
from tests.support import contract
from tests.support.edge import Edge, run_edge
from tests.support.issuer import Issuer
from tests.support.keys import Keys
from tests.support.rawsocket import RawSocket, frame
from tests.support.sockets import WHERE, enter, say, somebody
from tests.support.waiting import eventually

CLOSE = frame(b"\x03\xe8", opcode=8)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def patient(keys: Keys, redis_url: str, issuer: Issuer) -> AsyncIterator[Edge]:
    """Gathers for longer than any test takes."""
    async with run_edge(keys, redis_url, issuer, read_debounce_ms=3_600_000) as edge:
        yield edge


def note_marks(edge: Edge) -> list[int]:
    """What is written from now on."""
    written: list[int] = []

    def mark(request: Any, _user: ActingUser | None) -> message_rpc.MarkReadResponse:
        written.append(request.last_read_seq)
        return message_rpc.MarkReadResponse(last_read_seq=request.last_read_seq)

    edge.services.answers["MarkRead"] = mark
    return written


async def mark(raw: RawSocket, seq: int, name: str | None = None) -> None:
    named = {} if name is None else {"id": name}
    await say(raw, type="read.receipt", conversationId=WHERE, lastReadSeq=seq, **named)


async def test_devices_of_a_person_share_it_and_the_highest_stands(edge: Edge) -> None:
    # Both at one edge: what waits to be written waits at each edge for itself.
    marks, ada = note_marks(edge), somebody()
    desk, phone = await enter(edge, ada), await enter(edge, ada)
    await mark(desk, 1, "first")
    assert (await desk.json())["replyTo"] == "first"
    await mark(desk, 5, "five")
    await mark(phone, 3, "three")
    assert (await desk.json())["replyTo"] == "five"
    assert (await phone.json())["replyTo"] == "three"
    assert marks == [1, 5]


async def test_a_mark_that_waits_keeps_nothing_else_waiting(patient: Edge) -> None:
    note_marks(patient)
    raw = await enter(patient, somebody())
    await mark(raw, 1, "1")
    await mark(raw, 2, "2")
    await say(raw, type="message.send", id="3")
    assert [(await raw.json())["replyTo"] for _ in range(2)] == ["1", "3"]


async def test_a_failure_is_told_to_all_who_waited(edge: Edge) -> None:
    def fails(_request: Any, _user: ActingUser | None) -> None:
        raise ChatError(Reason.NOT_FOUND, "There is no such thing.")

    note_marks(edge)
    ada = somebody()
    desk, phone = await enter(edge, ada), await enter(edge, ada)
    await mark(desk, 1, "first")
    await desk.json()
    edge.services.answers["MarkRead"] = fails
    await mark(desk, 2, "two")
    await mark(phone, 3)
    answers = [await desk.json(), await phone.json()]
    for answer in answers:
        contract.check_frame(answer)
        assert answer["problem"]["code"] == "not_found"
    assert [answer.get("replyTo") for answer in answers] == ["two", None]


async def test_what_waits_is_written_when_the_socket_closes(patient: Edge) -> None:
    marks, ada = note_marks(patient), somebody()
    leaves, stays = await enter(patient, ada), await enter(patient, ada)
    await mark(stays, 1, "1")
    await stays.json()
    await mark(leaves, 2)
    await mark(stays, 3, "3")
    leaves.send(CLOSE)
    assert await leaves.close_code() == 1000
    assert (await stays.json())["replyTo"] == "3"
    assert marks == [1, 3]


async def test_what_was_said_just_before_leaving_counts(patient: Edge) -> None:
    marks = note_marks(patient)
    raw = await enter(patient, somebody())
    said = [{"type": "read.receipt", "conversationId": WHERE, "lastReadSeq": seq} for seq in (1, 2, 3)]
    raw.send(b"".join(frame(orjson.dumps(each)) for each in said) + CLOSE)
    await raw.gone()

    async def last() -> int:
        return max(marks, default=0)

    await eventually(last, until=lambda seq: seq == 3)


async def test_a_drain_writes_what_waits_and_says_so(keys: Keys, redis_url: str, issuer: Issuer) -> None:
    async with run_edge(
        keys, redis_url, issuer, drain_seconds=5, read_debounce_ms=3_600_000, ws_close_timeout_ms=100
    ) as edge:
        marks = note_marks(edge)
        raw = await enter(edge, somebody())
        await mark(raw, 1, "1")
        await raw.json()
        await mark(raw, 2, "2")
        await mark(raw, 3)
        # The third was read before the edge is told to end.
        await say(raw, type="message.send", id="4")
        assert (await raw.json())["replyTo"] == "4"
        stopping = asyncio.create_task(edge.app.stop())
        said = [await raw.json() for _ in range(2)]
        assert {each.get("replyTo", each["type"]) for each in said} == {"2", "system.goaway"}
        await mark(raw, 4, "last")
        assert (await raw.json())["replyTo"] == "last"
        assert marks == [1, 3, 4]
        raw.send(CLOSE)
        await stopping


async def test_marks_are_counted_as_they_come_and_as_they_are_written(
    keys: Keys, redis_url: str, issuer: Issuer
) -> None:
    async with run_edge(keys, redis_url, issuer) as edge:
        note_marks(edge)
        raw = await enter(edge, somebody())
        for seq in range(1, 11):
            await mark(raw, seq, str(seq))
        for _ in range(10):
            await raw.json()
        assert edge.count("edge_read_marks_total") == 10
        assert edge.count("edge_read_marks_written_total") == 2
