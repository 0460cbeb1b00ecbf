"""Between the contract and the domain."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from splits.chat.presence.v1 import service_pb2 as rpc

from presence_svc.domain import AccessChange, Banned, NotBanned, SessionOver, TokensOver, tokens_over
from servicekit.errors import ChatError, Reason, Violation


def revocation(request: rpc.RevokeSessionsRequest, now: datetime) -> AccessChange:
    """What the request says is over."""
    _refuse_nul("/userId", request.user_id)
    _refuse_nul("/sid", request.sid)
    return SessionOver(request.sid) if request.sid else tokens_over(now)


def ban(request: rpc.BanUserRequest) -> Banned:
    """The ban that the request asks for. One that is over already is what it says: none that holds."""
    _refuse_nul("/userId", request.user_id)
    if not request.HasField("until"):
        return Banned(None)
    try:
        return Banned(request.until.ToDatetime(tzinfo=UTC))
    except ValueError:
        raise _invalid("/until", "timestamp", "Must be in the years 1 to 9999.") from None


def lifted_ban(request: rpc.LiftBanRequest) -> NotBanned:
    """That there is no ban."""
    _refuse_nul("/userId", request.user_id)
    return NotBanned()


def access_change_to_proto(user_id: str, change: AccessChange) -> rpc.AccessChange:
    """A change as edges read it."""
    match change:
        case TokensOver(until):
            return rpc.AccessChange(user_id=user_id, tokens_until=_timestamp(until))
        case SessionOver(sid):
            return rpc.AccessChange(user_id=user_id, sid=sid)
        case Banned(until):
            ban = rpc.Ban() if until is None else rpc.Ban(until=_timestamp(until))
            return rpc.AccessChange(user_id=user_id, ban=ban)
        case NotBanned():
            return rpc.AccessChange(user_id=user_id, ban_lifted=rpc.BanLifted())


def _timestamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def _refuse_nul(pointer: str, text: str) -> None:
    if "\0" in text:
        raise _invalid(pointer, "string.not_contains", "Must not hold NUL.")  # Postgres cannot


def _invalid(pointer: str, code: str, message: str) -> ChatError:
    violations = [Violation(pointer, code, message)]
    return ChatError(Reason.VALIDATION_FAILED, "The request is not valid.", violations=violations)
