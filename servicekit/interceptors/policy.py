"""Enforces what each RPC declares: who may call it, and whether it acts for a person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor, descriptor_pool
from splits.chat.options.v1 import policy_pb2

from servicekit.errors import ChatError, Reason
from servicekit.identity import ACTING_USER, CALLER_KINDS, SERVICE_TOKEN, Trust, bind_identity
from servicekit.interceptors.base import Call, Proceed, UnaryInterceptor


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy of one RPC."""

    callers: frozenset[str]
    """Kinds of caller that are let in."""
    user_required: bool
    """Whether the call's metadata must carry an assertion; one that is not required is ignored."""
    stream_of: str = ""
    """The unary method whose calls it carries; "" for a unary one."""


def policies(service_names: Sequence[str]) -> Mapping[str, Policy]:
    """Policies by method ("/package.Service/Method"). ValueError for an RPC that declares none,
    or streams anything but calls of a unary one.
    """
    found: dict[str, Policy] = {}
    for name in service_names:
        try:
            service = descriptor_pool.Default().FindServiceByName(name)
        except KeyError as error:
            raise ValueError(f"{name} is not a service of any imported contract") from error
        for method in service.methods:
            found[f"/{name}/{method.name}"] = _policy(method)
    return found


def _policy(method: descriptor.MethodDescriptor) -> Policy:
    declared = method.GetOptions().Extensions[policy_pb2.policy]
    stream_of = ""
    if method.client_streaming or method.server_streaming:
        stream_of = _carried(method, declared)
    elif declared.stream_of:
        raise ValueError(f"{method.full_name} declares stream_of and does not stream")
    callers = frozenset(CALLER_KINDS[number] for number in declared.callers if number in CALLER_KINDS)
    if not callers or declared.acting_user == policy_pb2.ACTING_USER_UNSPECIFIED:
        raise ValueError(f"{method.full_name} declares no policy (callers and acting_user)")
    return Policy(callers, declared.acting_user == policy_pb2.ACTING_USER_REQUIRED, stream_of)


_OF_EACH_CALL = {"call", "traceparent", "request_id", "timeout_ms"}


def _carried(method: descriptor.MethodDescriptor, declared: policy_pb2.Policy) -> str:
    """The unary method whose calls a streaming one carries."""
    service = method.containing_service
    unary = service.methods_by_name.get(declared.stream_of)
    if unary is None or unary.client_streaming or unary.server_streaming:
        raise ValueError(f"{method.full_name} streams, and declares no unary RPC of its service as stream_of")
    if not (method.client_streaming and method.server_streaming):
        raise ValueError(f"{method.full_name} streams one way only")
    asked, answered = method.input_type.fields_by_name, method.output_type.fields_by_name
    if not (
        set(asked) == _OF_EACH_CALL
        and asked["call"].message_type is unary.input_type
        and set(answered) == {"answer"}
        and answered["answer"].message_type is unary.output_type
    ):
        raise ValueError(f"{method.full_name} carries something else than calls of {unary.name}")
    other = unary.GetOptions().Extensions[policy_pb2.policy]
    if (set(other.callers), other.acting_user) != (set(declared.callers), declared.acting_user):
        raise ValueError(f"{method.full_name} has another policy than {unary.name}")
    if declared.acting_user == policy_pb2.ACTING_USER_REQUIRED:
        raise ValueError(f"{method.full_name} carries calls that are each for a person of its own")
    return f"/{service.full_name}/{unary.name}"


class PolicyInterceptor(UnaryInterceptor):
    """Proves the caller and the acting user, and sets both for the handler."""

    def __init__(self, trust: Trust, table: Mapping[str, Policy]) -> None:
        self._trust = trust
        self._policies = table

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Lets the call through; else UNAUTHENTICATED or FORBIDDEN (also for a method unknown here)."""
        caller = self._trust.verify_service(call.metadata(SERVICE_TOKEN))
        policy = self._policies.get(call.method)
        if policy is None or caller.kind not in policy.callers:
            raise ChatError(Reason.FORBIDDEN, "The caller may not call this.")
        user = None
        if policy.user_required:
            user = self._trust.verify_assertion(call.metadata(ACTING_USER), caller)
        bind_identity(caller, user)
        return await proceed()
