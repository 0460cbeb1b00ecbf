"""What a client may say over its socket."""

from __future__ import annotations

import time
from typing import Any

from splits.chat.message.v1 import service_pb2 as message_rpc
from structlog.testing import capture_logs

from servicekit.errors import ChatError, Reason
from tests.support import contract
from tests.support.edge import Edge
from tests.support.rawsocket import frame
from tests.support.sockets import WHERE, enter, say, somebody


async def test_a_read_mark_is_acknowledged_when_it_has_a_name(edge: Edge) -> None:
    marks: list[int] = []

    def mark(request: Any, _user: Any) -> message_rpc.MarkReadResponse:
        marks.append(request.last_read_seq)
        return message_rpc.MarkReadResponse(last_read_seq=request.last_read_seq)

    edge.services.answers["MarkRead"] = mark
    raw = await enter(edge, somebody())
    await say(raw, type="read.receipt", conversationId=WHERE, lastReadSeq=1)
    await say(raw, type="read.receipt", id="two", conversationId=WHERE, lastReadSeq=2)
    assert await raw.json() == {"type": "ack", "replyTo": "two"}
    assert marks == [1, 2]


async def test_many_frames_at_once_are_all_handled_in_order(edge: Edge) -> None:
    def mark(request: Any, _user: Any) -> message_rpc.MarkReadResponse:
        return message_rpc.MarkReadResponse(last_read_seq=request.last_read_seq)

    edge.services.answers["MarkRead"] = mark
    raw = await enter(edge, somebody())
    for number in range(100):
        await say(raw, type="read.receipt", id=str(number), conversationId=WHERE, lastReadSeq=number)
    assert [(await raw.json())["replyTo"] for _ in range(100)] == [str(number) for number in range(100)]


async def test_a_frame_that_makes_no_sense_is_answered_and_the_socket_stays(edge: Edge) -> None:
    raw = await enter(edge, somebody())
    for payload in (b"{", b"[]", b"\xff\xfe", b'{"type":"typing.started"}', b'{"a":' * 3000, b"null", b""):
        raw.send(frame(payload))
        answer = await raw.json()
        contract.check_frame(answer)
        assert answer["problem"]["code"] == "validation_failed"
    await say(raw, type="message.send", id="m", text="hi")
    refused = await raw.json()
    assert (refused["replyTo"], "POST /v1/conversations" in refused["problem"]["detail"]) == ("m", True)
    await say(raw, type="read.receipt", id="r", conversationId="nowhere", lastReadSeq=1)
    assert (await raw.json())["problem"]["code"] == "not_found"


async def test_a_fault_behind_a_frame_is_told_and_the_socket_stays(edge: Edge) -> None:
    def fails(_request: Any, _user: Any) -> None:
        raise ChatError(Reason.INTERNAL, "secret")

    edge.services.answers["MarkRead"] = fails
    raw = await enter(edge, somebody())
    await say(raw, type="read.receipt", id="r", conversationId=WHERE, lastReadSeq=1)
    answer = await raw.json()
    contract.check_frame(answer)
    assert (answer["problem"]["code"], "secret" in str(answer)) == ("internal", False)


async def test_an_impersonators_read_mark_is_refused(edge: Edge) -> None:
    user = somebody()
    raw = await enter(edge, user, token=edge.issuer.token(user, act={"sub": "support"}))
    await say(raw, type="read.receipt", id="r", conversationId=WHERE, lastReadSeq=1)
    assert (await raw.json())["problem"]["code"] == "forbidden"


async def test_all_that_an_impersonator_does_on_a_socket_is_in_the_audit_trail(edge: Edge) -> None:
    user = somebody()
    token = edge.issuer.token(user, act={"sub": "support"})
    with capture_logs() as logs:
        raw = await enter(edge, user, token=token)
        await say(raw, type="auth.refresh", id="a", token=token)
        await say(raw, type="read.receipt", id="r", conversationId=WHERE, lastReadSeq=1)
        assert [(await raw.json())["replyTo"] for _ in range(2)] == ["a", "r"]
    trail = [(each["what"], each["refused"]) for each in logs if each["event"] == "impersonated"]
    assert trail == [("GET /ws/chat", False), ("ws auth.refresh", False), ("ws read.receipt", True)]


async def test_a_socket_ends_with_its_token_unless_a_fresh_one_comes(edge: Edge) -> None:
    user = somebody()
    soon = int(time.time()) + 4  # and the leeway of five seconds: time for all below on a slow machine
    ending = await enter(edge, user, token=edge.issuer.token(user, exp=soon))
    renewed = await enter(edge, user, token=edge.issuer.token(user, exp=soon))
    await say(renewed, type="auth.refresh", id="a", token=edge.issuer.token(user))
    answer = await renewed.json()
    contract.check_frame(answer)
    assert (answer["type"], answer["replyTo"]) == ("ack", "a")
    assert await ending.close_code() == 4001
    renewed.send(frame(b"x", opcode=9))
    assert await renewed.receive() == (10, b"x")


async def test_only_the_same_person_may_refresh(edge: Edge) -> None:
    user = somebody()
    raw = await enter(edge, user)
    await say(raw, type="auth.refresh", id="a", token=edge.issuer.token(user, aud="other"))
    assert (await raw.json())["problem"]["code"] == "unauthenticated"
    await say(raw, type="auth.refresh", token=edge.issuer.token("somebody-else"))
    assert await raw.close_code() == 4500
