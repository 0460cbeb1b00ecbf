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


def policies(service_names: Sequence[str]) -> Mapping[str, Policy]:
    """Policies by method ("/package.Service/Method"). ValueError for an RPC that declares none or streams."""
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
    if method.client_streaming or method.server_streaming:
        raise ValueError(f"{method.full_name} streams; this server takes unary calls only")
    declared = method.GetOptions().Extensions[policy_pb2.policy]
    callers = frozenset(CALLER_KINDS[number] for number in declared.callers if number in CALLER_KINDS)
    if not callers or declared.acting_user == policy_pb2.ACTING_USER_UNSPECIFIED:
        raise ValueError(f"{method.full_name} declares no policy (callers and acting_user)")
    return Policy(callers, declared.acting_user == policy_pb2.ACTING_USER_REQUIRED)


class PolicyInterceptor(UnaryInterceptor):
    """Proves the caller and the acting user, and sets both for the handler."""

    def __init__(self, trust: Trust, service_names: Sequence[str]) -> None:
        self._trust = trust
        self._policies = policies(service_names)

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
