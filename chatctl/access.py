"""`chatctl revoke | ban | unban`: whom presence_svc is told not to let in any more, or again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from google.protobuf.timestamp_pb2 import Timestamp
from splits.chat.presence.v1 import service_pb2, service_pb2_grpc

from chatctl.running import Running
from servicekit.grpc_client import ServiceClient
from servicekit.identity import Signer

if TYPE_CHECKING:  # the stubs alone know the asynchronous flavour
    Stub: TypeAlias = service_pb2_grpc.PresenceServiceAsyncStub

CALL_S = 5.0


def moment(text: str, now: datetime) -> datetime:
    """A time to come, as RFC 3339 has it. ValueError, with what is wrong with it."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time such as 2027-01-31T12:00:00Z.") from None
    if found.tzinfo is None:
        raise ValueError(f"{text!r} does not say in which zone: end it with Z, or an offset.")
    if found <= now:
        raise ValueError(f"{text!r} is over.")
    return found.astimezone(UTC)


async def revoke(running: Running, user_id: str, sid: str) -> None:
    """Ends one session, or with sid "" all until now. Raises ChatError."""
    request = service_pb2.RevokeSessionsRequest(user_id=user_id, sid=sid)
    async with _client(running) as client:
        await client.call(client.stub.RevokeSessions, request, timeout=CALL_S, idempotent=True)


async def ban(running: Running, user_id: str, until: datetime | None) -> None:
    """Bans until then; None = until it is lifted. Raises ChatError."""
    request = service_pb2.BanUserRequest(user_id=user_id)
    if until is not None:
        stamp = Timestamp()
        stamp.FromDatetime(until)
        request.until.CopyFrom(stamp)
    async with _client(running) as client:
        await client.call(client.stub.BanUser, request, timeout=CALL_S, idempotent=True)


async def unban(running: Running, user_id: str) -> None:
    """Lifts a ban. Raises ChatError."""
    request = service_pb2.LiftBanRequest(user_id=user_id)
    async with _client(running) as client:
        await client.call(client.stub.LiftBan, request, timeout=CALL_S, idempotent=True)


@asynccontextmanager
async def _client(running: Running) -> AsyncIterator[ServiceClient["Stub"]]:
    signer = Signer.from_file("chatctl", running.keys_dir / "chatctl.pem")
    client: ServiceClient[Stub] = ServiceClient(
        running.targets["presence_svc"], service_pb2_grpc.PresenceServiceStub, signer
    )
    try:
        yield client
    finally:
        await client.close()
