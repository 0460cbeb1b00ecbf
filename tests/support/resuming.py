"""Sockets that go and come back: what they are told, and where their streams stand."""

from __future__ import annotations

from typing import Any

import redis.asyncio as redis
from google.protobuf.timestamp_pb2 import Timestamp
from splits.chat.message.v1 import message_pb2 as message_pb

from servicekit.realtime import stream_key
from tests.support import contract
from tests.support.edge import Edge
from tests.support.rawsocket import RawSocket
from tests.support.sockets import connect

Json = dict[str, Any]


async def told(raw: RawSocket) -> list[Json]:
    """Everything up to `system.caught_up`, each frame as the contract has it."""
    frames: list[Json] = []
    while not frames or frames[-1]["type"] != "system.caught_up":
        frames.append(await raw.json())
        contract.check_frame(frames[-1])
    return frames


async def come(edge: Edge, user: str, cursor: str | None = None) -> tuple[RawSocket, list[Json]]:
    raw = await connect(edge, user, query="" if cursor is None else f"cursor={cursor}")
    assert raw.status == 101
    return raw, await told(raw)


async def leave(raw: RawSocket) -> None:
    raw.abort()


async def cursors(publisher: redis.Redis, user: str) -> list[str]:
    return [at.decode() for at, _ in await publisher.xrange(stream_key(user))]  # type: ignore[union-attr]


def redacted(message: message_pb.Message) -> message_pb.Message:
    gone = message_pb.Message()
    gone.CopyFrom(message)
    gone.text, gone.redacted_by, gone.change_seq = "", "ada", message.change_seq + 1
    gone.redacted_at.CopyFrom(Timestamp(seconds=1_767_323_050))
    return gone
