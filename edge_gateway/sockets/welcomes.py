"""What Postgres says to sockets that open: totals and the newest of the watch list, many in one call."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp
from splits.chat.message.v1 import service_pb2 as message_rpc

from edge_gateway.batches import Batches
from edge_gateway.clients import TOGETHER, Backends
from servicekit.identity import ActingUser

WATCHED = 200
"""Length of the watch list."""


class Welcomes:
    """Read when they are asked for, never remembered."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends
        self._batches: Batches[tuple[ActingUser, Timestamp | None], message_rpc.Welcome] = Batches(
            self._read, most=TOGETHER
        )

    async def get(self, user: ActingUser, *, changed_after: Timestamp | None = None) -> message_rpc.Welcome:
        """What changed after a moment, or the newest at all. Raises ChatError."""
        return await self._batches.ask((user, changed_after))

    async def _read(
        self, asked: Sequence[tuple[ActingUser, Timestamp | None]]
    ) -> Sequence[message_rpc.Welcome]:
        return await self._backends.get_welcomes(asked, WATCHED)
