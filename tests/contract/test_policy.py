"""Every RPC of every service says who may call it and whether it acts for a person."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from google.protobuf import descriptor, descriptor_pool
from splits.chat.options.v1 import policy_pb2

from servicekit.interceptors.policy import policies

PROTOS = Path(__file__).parents[2] / "protos"
SERVICE_FILES = sorted(PROTOS.glob("splits/**/service.proto"))


def services() -> list[descriptor.ServiceDescriptor]:
    found: list[descriptor.ServiceDescriptor] = []
    for path in PROTOS.glob("splits/**/*.proto"):
        name = path.relative_to(PROTOS)
        importlib.import_module(".".join(name.with_suffix("").parts) + "_pb2")
        file = descriptor_pool.Default().FindFileByName(str(name))
        found.extend(file.services_by_name.values())
    return found


METHODS = {method.full_name: method for service in services() for method in service.methods}


def test_the_contracts_are_found() -> None:
    assert len(SERVICE_FILES) >= 2
    assert len(METHODS) >= 2 * len(SERVICE_FILES)


@pytest.mark.parametrize("name", METHODS)
def test_the_rpc_declares_its_callers_and_its_acting_user(name: str) -> None:
    declared = METHODS[name].GetOptions().Extensions[policy_pb2.policy]
    assert declared.callers, "name the callers"
    assert len(set(declared.callers)) == len(declared.callers)
    assert policy_pb2.CALLER_UNSPECIFIED not in declared.callers
    assert declared.acting_user != policy_pb2.ACTING_USER_UNSPECIFIED, "say whether it acts for a person"


@pytest.mark.parametrize("name", METHODS)
def test_the_rpc_streams_exactly_when_it_carries_the_calls_of_another(name: str) -> None:
    method = METHODS[name]
    carries = bool(method.GetOptions().Extensions[policy_pb2.policy].stream_of)
    assert method.client_streaming == carries
    assert method.server_streaming == carries


@pytest.mark.parametrize("name", METHODS)
def test_a_batch_carries_an_assertion_in_each_item_exactly_when_its_policy_says_so(name: str) -> None:
    declared = METHODS[name].GetOptions().Extensions[policy_pb2.policy]
    carried = METHODS[name].input_type.fields_by_name.get("call")
    asked = carried.message_type if carried and carried.message_type else METHODS[name].input_type
    items = [
        field
        for field in asked.fields
        if field.message_type is not None and "acting_user" in field.message_type.fields_by_name
    ]
    assert bool(items) == (declared.acting_user == policy_pb2.ACTING_USER_PER_ITEM)


@pytest.mark.parametrize("name", METHODS)
def test_a_request_carries_one_assertion_of_many_exactly_when_its_policy_says_so(name: str) -> None:
    declared = METHODS[name].GetOptions().Extensions[policy_pb2.policy]
    carried = "acting_users" in METHODS[name].input_type.fields_by_name
    assert carried == (declared.acting_user == policy_pb2.ACTING_USER_TOGETHER)


def test_the_server_enforces_what_the_contracts_declare() -> None:
    table = policies([service.full_name for service in services()])
    assert set(table) == {f"/{'/'.join(name.rsplit('.', 1))}" for name in METHODS}
    assert table["/splits.chat.message.v1.MessageService/ApplyGates"].callers == {"conversation_svc"}
    assert not table["/splits.chat.message.v1.MessageService/ApplyGates"].user_required
    assert table["/splits.chat.message.v1.MessageService/ListMessages"].callers == {"edge", "internal"}
    assert table["/splits.chat.message.v1.MessageService/ListMessages"].user_required
    stream = table["/splits.chat.message.v1.MessageService/StreamSends"]
    assert stream.stream_of == "/splits.chat.message.v1.MessageService/SendMessages"
