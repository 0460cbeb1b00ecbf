"""What is said over a socket."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_gateway import problems
from edge_gateway.sockets import frames
from edge_gateway.sockets.frames import (
    AuthRefresh,
    Command,
    ConversationClose,
    ConversationOpen,
    FrameError,
    PresencePing,
    ReadReceipt,
    Typing,
)
from servicekit.errors import Reason
from tests.support import contract

WHERE = "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"


def parse(**frame: Any) -> Command:
    return frames.parse(orjson.dumps(frame))


def refused(payload: bytes) -> FrameError:
    with pytest.raises(FrameError) as error:
        frames.parse(payload)
    contract.check_frame(orjson.loads(frames.error(error.value.reply_to, error.value.problem, "r")))
    return error.value


def test_a_clients_frames_are_understood() -> None:
    assert parse(type="read.receipt", id="1", conversationId=WHERE, lastReadSeq=7) == Command(
        "1", ReadReceipt(WHERE, 7)
    )
    assert parse(type="auth.refresh", token="a.b.c", more=1) == Command(None, AuthRefresh("a.b.c"))
    started = parse(type="typing.started", conversationId=WHERE, lastReadSeq="none of its own")
    assert started == Command(None, Typing(WHERE, started=True))
    assert parse(type="typing.stopped", conversationId=WHERE).body == Typing(WHERE, started=False)
    assert parse(type="conversation.open", id="o", conversationId=WHERE) == Command(
        "o", ConversationOpen(WHERE)
    )
    assert parse(type="conversation.close", conversationId=WHERE).body == ConversationClose(WHERE)


@pytest.mark.parametrize(
    ("said", "away"),
    [({}, None), ({"status": None}, None), ({"status": "online"}, False), ({"status": "away"}, True)],
)
def test_a_ping_may_say_whether_somebody_looks(said: dict[str, Any], away: bool | None) -> None:
    assert parse(type="presence.ping", **said).body == PresencePing(away)


def test_a_message_is_refused_with_where_to_send_it() -> None:
    error = refused(orjson.dumps({"type": "message.send", "id": "m", "text": "hi"}))
    assert error.reply_to == "m"
    assert "POST /v1/conversations/{id}/messages" in error.problem.detail


@pytest.mark.parametrize(
    ("payload", "code", "pointer"),
    [
        (b"", "validation_failed", ""),
        (b"[]", "validation_failed", ""),
        (b"{", "validation_failed", ""),
        (b"\xff", "validation_failed", ""),
        (b'{"a":' * 4000, "validation_failed", ""),
        (b"{}", "validation_failed", "/type"),
        (b'{"type":1}', "validation_failed", "/type"),
        (b'{"type":"typing.began"}', "validation_failed", "/type"),
        (b'{"type":"typing.started"}', "validation_failed", "/conversationId"),
        (b'{"type":"typing.stopped","conversationId":7}', "validation_failed", "/conversationId"),
        (b'{"type":"conversation.open","conversationId":"x"}', "not_found", None),
        (b'{"type":"conversation.close"}', "validation_failed", "/conversationId"),
        (b'{"type":"presence.ping","status":"offline"}', "validation_failed", "/status"),
        (b'{"type":"presence.ping","status":["away"]}', "validation_failed", "/status"),
        (b'{"type":"read.receipt","id":7}', "validation_failed", "/id"),
        (b'{"type":"read.receipt"}', "validation_failed", "/conversationId"),
        (b'{"type":"auth.refresh"}', "validation_failed", "/token"),
        (b'{"type":"read.receipt","conversationId":"x","lastReadSeq":1}', "not_found", None),
    ],
)
def test_what_is_wrong_with_a_frame_is_told(payload: bytes, code: str, pointer: str | None) -> None:
    problem = refused(payload).problem
    assert problem.code == code
    assert (problem.violations[0].pointer if problem.violations else None) == pointer


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.text() | st.floats(), st.lists).map(repr).map(str.encode)
)
def test_no_bytes_are_anything_but_a_frame_or_refused(payload: bytes) -> None:
    with suppress(FrameError):
        frames.parse(payload)


def test_the_edges_own_frames_are_as_the_contract_has_them() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
    contract.check_frame(orjson.loads(frames.event(frames.CAUGHT_UP, {}, now=now)))
    contract.check_frame(orjson.loads(frames.event(frames.CAUGHT_UP, {}, now=now, cursor="17-0")))
    contract.check_frame(orjson.loads(frames.event(frames.GOAWAY, {"reconnectInMs": 5}, now=now)))
    contract.check_frame(orjson.loads(frames.ack("1")))
    contract.check_frame(orjson.loads(frames.ack(None, {"expiresAt": "2026-01-02T03:04:05.678Z"})))
    wrong = problems.problem(Reason.FORBIDDEN)
    contract.check_frame(orjson.loads(frames.error("1", wrong, "r")))
    assert (
        orjson.loads(frames.event(frames.CAUGHT_UP, {}, now=now))["occurredAt"] == "2026-01-02T03:04:05.678Z"
    )
