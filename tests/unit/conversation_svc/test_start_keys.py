"""What tells a repeated start from another one under the same key."""

from __future__ import annotations

from typing import Any

import pytest
from splits.chat.conversation.v1 import conversation_pb2 as pb
from splits.chat.conversation.v1 import service_pb2 as rpc
from splits.chat.message.v1 import message_pb2

from conversation_svc.domain import StartKey
from conversation_svc.wire import start_key_from_proto


def request(**changes: Any) -> rpc.CreateConversationRequest:
    fields: dict[str, Any] = {
        "recipient_id": "bob",
        "idempotency_key": "k1",
        "message": message_pb2.NewMessage(client_message_id="m1", text="hello"),
        "context": pb.Context(job_id="job-1", job_title="Welder"),
    }
    return rpc.CreateConversationRequest(**{**fields, **changes})


def key_of(made: rpc.CreateConversationRequest) -> StartKey:
    found = start_key_from_proto(made)
    assert found is not None
    return found


def test_without_a_key_there_is_none() -> None:
    assert start_key_from_proto(request(idempotency_key="")) is None


def test_the_same_body_has_the_same_hash_under_any_key() -> None:
    assert key_of(request()) == key_of(request())
    assert key_of(request(idempotency_key="k2")).body_hash == key_of(request()).body_hash
    # and over releases: it is kept as long as the conversation
    assert (
        key_of(request()).body_hash.hex()
        == "dc01a33036ca225314492e83bd1fec09ba175e3b086288c51ecdd5e1c1e28251"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"recipient_id": "eve"},
        {"context": pb.Context(job_id="job-2", job_title="Welder")},
        {"context": pb.Context(job_id="job-1")},
        {"context": None},
        {"message": message_pb2.NewMessage(client_message_id="m2", text="hello")},
        {"message": message_pb2.NewMessage(client_message_id="m1", text="hello ")},
        {"message": message_pb2.NewMessage(client_message_id="m1", text="hello", reply_to_id="x")},
    ],
)
def test_another_recipient_context_or_message_is_another_body(changes: dict[str, Any]) -> None:
    assert key_of(request(**changes)).body_hash != key_of(request()).body_hash


def test_what_is_ignored_makes_no_difference() -> None:
    given = pb.Context(job_id="job-1", job_title="Welder", company_name="Not theirs to give")
    assert key_of(request(context=given)) == key_of(request())
    assert key_of(request(context=pb.Context())) == key_of(request(context=None))
