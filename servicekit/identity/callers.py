"""Who calls and for whom, as the RPC in work knows it."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from splits.chat.options.v1 import policy_pb2

from servicekit.errors import unauthenticated

SERVICE_TOKEN = "x-chat-service-token"  # noqa: S105 - a header's name
ACTING_USER = "x-chat-acting-user"
METADATA = (SERVICE_TOKEN, ACTING_USER)
"""gRPC metadata keys of the two credentials."""

CALLER_KINDS: Mapping[int, str] = {
    number: name.removeprefix("CALLER_").lower()
    for name, number in policy_pb2.Caller.items()
    if number != policy_pb2.CALLER_UNSPECIFIED
}
"""Kinds of caller by their number in the contract: "edge", "internal", "conversation_svc", …"""


@dataclass(frozen=True, slots=True)
class ActingUser:
    """The person a call acts for, as the edge (or another trusted service) has verified them."""

    user_id: str
    role: str
    org_id: str | None = None
    org_name: str | None = None
    org_verified: bool = False
    display_name: str = ""
    avatar_url: str | None = None
    session_id: str | None = None
    impersonator: str | None = None
    email: str | None = field(default=None, repr=False)
    """Where they get mail: for conversation_svc alone, shown to nobody and in no log."""

    def __hash__(self) -> int:
        # Caches know people by all of it; one has hardly ever two descriptions at a time.
        return hash(self.user_id)


@dataclass(frozen=True, slots=True)
class Caller:
    """A service that proved itself."""

    service: str
    kind: str
    """As policies name it: one of CALLER_KINDS."""


_caller: ContextVar[Caller | None] = ContextVar("chat_caller", default=None)
_acting_user: ContextVar[ActingUser | None] = ContextVar("chat_acting_user", default=None)


def current_caller() -> Caller:
    """The caller of the RPC in work; UNAUTHENTICATED outside of one."""
    caller = _caller.get()
    if caller is None:
        raise unauthenticated()
    return caller


def acting_user() -> ActingUser:
    """The person the RPC in work acts for; UNAUTHENTICATED when there is none."""
    user = _acting_user.get()
    if user is None:
        raise unauthenticated()
    return user


def bind_identity(caller: Caller | None, user: ActingUser | None) -> None:
    """Sets both for the current task; for the policy interceptor and for tests of actions."""
    _caller.set(caller)
    _acting_user.set(user)
