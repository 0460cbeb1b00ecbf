"""What clients had said when the edge stops: answered before their sockets close, or to be said again."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from splits.chat.message.v1 import service_pb2 as message_rpc

from tests.support.edge import Edge, run_edge
from tests.support.issuer import Issuer
from tests.support.keys import Keys
from tests.support.rawsocket import RawSocket, frame
from tests.support.sockets import OTHER, WHERE, enter, somebody

_SAID = 60
"""Many times what is handled in one turn, and more than a session takes before it stops reading."""


def _mark(number: int) -> bytes:
    """Of two conversations in turn, so that some marks are gathered and some wait behind others."""
    return orjson.dumps(
        {
            "type": "read.receipt",
            "id": str(number),
            "conversationId": OTHER if number % 2 else WHERE,
            "lastReadSeq": number,
        }
    )


def _ping(number: int) -> bytes:
    return orjson.dumps({"type": "presence.ping", "id": str(number)})


def _hold_marks(edge: Edge) -> tuple[asyncio.Event, asyncio.Event, dict[str, int]]:
    """Read marks wait: the first event says that one does, the second lets them go on. What is written."""
    asked, go_on = asyncio.Event(), asyncio.Event()
    written: dict[str, int] = {}

    async def mark(request: Any, _user: Any) -> message_rpc.MarkReadResponse:
        asked.set()
        await go_on.wait()
        written[request.conversation_id] = request.last_read_seq
        return message_rpc.MarkReadResponse(last_read_seq=request.last_read_seq)

    edge.services.answers["MarkRead"] = mark
    return asked, go_on, written


async def _all_read(edge: Edge) -> None:
    """Returns once nothing more is read from the one socket: all that it will hear of, it has."""
    (socket,) = edge.app._hub._sockets
    async with asyncio.timeout(30):
        while not socket._stopped:
            await asyncio.sleep(0)


async def _until_closed(raw: RawSocket) -> tuple[list[dict[str, Any]], bytes]:
    """The answers that came, and what the closing frame said."""
    answers: list[dict[str, Any]] = []
    while True:
        opcode, payload = await raw.receive()
        if opcode == 8:
            return answers, payload
        if opcode == 1 and "replyTo" in (told := orjson.loads(payload)):
            answers.append(told)


async def test_what_was_said_before_the_end_is_answered_before_it(
    keys: Keys, redis_url: str, issuer: Issuer
) -> None:
    async with run_edge(keys, redis_url, issuer) as edge:
        asked, go_on, written = _hold_marks(edge)
        raw = await enter(edge, somebody())
        said = [_ping(number) if number % 10 == 9 else _mark(number) for number in range(_SAID)]
        raw.send(b"".join(map(frame, said)))
        await asked.wait()
        await _all_read(edge)
        stopping = asyncio.create_task(edge.app.stop())
        async with asyncio.timeout(30):
            while not edge.app._hub.draining:
                await asyncio.sleep(0)
            for _ in range(20):  # it would close at once: nothing is waited for but the answers
                await asyncio.sleep(0)
        raw.send(frame(_mark(_SAID)))  # too late: nobody reads it
        go_on.set()
        answers, closed = await _until_closed(raw)
        assert sorted(int(each["replyTo"]) for each in answers) == list(range(_SAID))
        assert {each["type"] for each in answers} == {"ack"}
        assert written == {WHERE: _SAID - 2, OTHER: _SAID - 3}
        assert closed[:2] == (1012).to_bytes(2, "big")
        raw.abort()
        await stopping


@pytest.mark.parametrize("comes_back", [True, False])
async def test_an_answer_that_does_not_come_is_not_waited_for(
    keys: Keys, redis_url: str, issuer: Issuer, comes_back: bool
) -> None:
    async with run_edge(keys, redis_url, issuer, ws_frames_last_ms=50) as edge:
        asked, go_on, written = _hold_marks(edge)
        raw = await enter(edge, somebody())
        raw.send(b"".join(frame(_mark(number)) for number in range(_SAID)))
        await asked.wait()
        await _all_read(edge)
        stopping = asyncio.create_task(edge.app.stop())
        answers, closed = await _until_closed(raw)
        assert (answers, closed[:2]) == ([], (1012).to_bytes(2, "big"))
        if comes_back:  # it may be written all the same; that it was not acknowledged is what counts
            go_on.set()
        raw.abort()
        async with asyncio.timeout(30):  # less than all of them take, one after the other
            await stopping
        assert bool(written) is comes_back


async def test_who_says_nothing_is_not_kept(keys: Keys, redis_url: str, issuer: Issuer) -> None:
    async with run_edge(keys, redis_url, issuer, ws_frames_last_ms=60_000) as edge:
        raw = await enter(edge, somebody())
        async with asyncio.timeout(30):
            stopping = asyncio.create_task(edge.app.stop())
            assert await raw.close_code() == 1012
            raw.send(frame(b"\x03\xf4", opcode=8))
            await raw.gone()
            await stopping
