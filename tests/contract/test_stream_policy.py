"""Which streams a server refuses to serve: all but those that carry the calls of a unary RPC as it is."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, MethodDescriptorProto
from splits.chat.options.v1 import policy_pb2

from servicekit.interceptors.policy import policies

_FIELDS = (
    ("call", FieldDescriptorProto.TYPE_MESSAGE),
    ("traceparent", FieldDescriptorProto.TYPE_STRING),
    ("request_id", FieldDescriptorProto.TYPE_STRING),
    ("timeout_ms", FieldDescriptorProto.TYPE_UINT32),
)


def contract() -> FileDescriptorProto:
    """A service of its own package each time: `Do`, and `StreamDo` that carries its calls."""
    package = f"tests.p{uuid4().hex}"
    file = FileDescriptorProto(
        name=f"{package}.proto",
        package=package,
        syntax="proto3",
        dependency=["splits/chat/options/v1/policy.proto"],
    )
    for name in ("Asked", "Answered", "StreamAsked", "StreamAnswered"):
        file.message_type.add(name=name)
    for number, (name, kind) in enumerate(_FIELDS, 1):
        file.message_type[2].field.add(
            name=name,
            number=number,
            type=kind,
            label=FieldDescriptorProto.LABEL_OPTIONAL,
            type_name=f".{package}.Asked" if name == "call" else None,
        )
    file.message_type[3].field.add(
        name="answer",
        number=1,
        type=FieldDescriptorProto.TYPE_MESSAGE,
        label=FieldDescriptorProto.LABEL_OPTIONAL,
        type_name=f".{package}.Answered",
    )
    service = file.service.add(name="Service")
    for stream, name in (("", "Do"), ("Stream", "StreamDo")):
        method = service.method.add(
            name=name,
            input_type=f".{package}.{stream}Asked",
            output_type=f".{package}.{stream}Answered",
            client_streaming=bool(stream),
            server_streaming=bool(stream),
        )
        policy = _policy(method)
        policy.callers.append(policy_pb2.CALLER_EDGE)
        policy.acting_user = policy_pb2.ACTING_USER_NONE
        policy.stream_of = "Do" if stream else ""
    return file


def _policy(method: MethodDescriptorProto) -> policy_pb2.Policy:
    return method.options.Extensions[policy_pb2.policy]


def _served(file: FileDescriptorProto) -> dict[str, str]:
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
    table = policies([f"{file.package}.Service"])
    return {name.rpartition("/")[2]: policy.stream_of.rpartition("/")[2] for name, policy in table.items()}


def test_a_stream_carries_the_calls_of_a_unary_rpc() -> None:
    assert _served(contract()) == {"Do": "", "StreamDo": "Do"}


def _stream(file: FileDescriptorProto) -> MethodDescriptorProto:
    return file.service[0].method[1]


def _carries_nothing(file: FileDescriptorProto) -> None:
    _policy(_stream(file)).stream_of = ""


def _carries_itself(file: FileDescriptorProto) -> None:
    _policy(_stream(file)).stream_of = "StreamDo"


def _streams_one_way(file: FileDescriptorProto) -> None:
    _stream(file).server_streaming = False


def _does_not_stream(file: FileDescriptorProto) -> None:
    _stream(file).client_streaming = _stream(file).server_streaming = False


def _lets_others_in(file: FileDescriptorProto) -> None:
    _policy(_stream(file)).callers.append(policy_pb2.CALLER_INTERNAL)


def _carries_another_message(file: FileDescriptorProto) -> None:
    file.message_type[2].field[0].type_name = f".{file.package}.Answered"


def _says_more_of_a_call(file: FileDescriptorProto) -> None:
    file.message_type[2].field.add(
        name="more",
        number=9,
        type=FieldDescriptorProto.TYPE_STRING,
        label=FieldDescriptorProto.LABEL_OPTIONAL,
    )


def _acts_for_a_person(file: FileDescriptorProto) -> None:
    """What is in a stream's metadata cannot differ from call to call."""
    for method in file.service[0].method:
        _policy(method).acting_user = policy_pb2.ACTING_USER_REQUIRED


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_carries_nothing, "declares no unary RPC"),
        (_carries_itself, "declares no unary RPC"),
        (_streams_one_way, "streams one way only"),
        (_does_not_stream, "does not stream"),
        (_lets_others_in, "has another policy"),
        (_carries_another_message, "carries something else"),
        (_says_more_of_a_call, "carries something else"),
        (_acts_for_a_person, "each for a person of its own"),
    ],
)
def test_any_other_stream_is_refused(change: Callable[[FileDescriptorProto], None], told: str) -> None:
    file = contract()
    change(file)
    with pytest.raises(ValueError, match=told):
        _served(file)
