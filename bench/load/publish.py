"""Publishes durable events as message_svc does, each to two people, in turn over all pairs.

`{redis_url, users}`; then each byte on stdin is a message, and what has come together goes out together.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from datetime import UTC, datetime

import orjson

from servicekit.outbox.events import RealtimeEvent, rfc3339
from servicekit.realtime import RealtimePublisher

_BATCH = 32
"""Messages: as many as message_svc stores together."""
_TEXT = "x" * 300


def message(pair: tuple[str, str], where: uuid.UUID, seq: int) -> RealtimeEvent:
    """`message.created` as message_svc says it, with the time of its making in its text."""
    now = datetime.now(UTC)
    message_id = uuid.uuid4()
    data = {
        "id": str(message_id),
        "clientMessageId": f"c{seq:08d}",
        "conversationId": str(where),
        "seq": seq,
        "changeSeq": seq,
        "senderId": pair[0],
        "kind": "text",
        "text": f"@{time.monotonic_ns():020d}{_TEXT[21:]}",
        "links": [],
        "attachments": [],
        "replyToId": None,
        "createdAt": rfc3339(now),
        "editedAt": None,
        "redactedAt": None,
        "redactedBy": None,
    }
    return RealtimeEvent(
        event_id=uuid.uuid4(),
        name="message.created",
        recipients=pair,
        conversation_id=where,
        refs={"messageId": str(message_id), "seq": seq, "changeSeq": seq},
        occurred_at=now,
        data={"message": data},
    )


def _line() -> bytes:
    """From stdin, and not a byte more: those behind it are messages."""
    line = b""
    while not line.endswith(b"\n"):
        line += os.read(0, 1)
    return line


def main() -> None:
    given = orjson.loads(_line())
    users = given["users"]
    pairs = [(pair, uuid.uuid4()) for pair in zip(users[::2], users[1::2], strict=True)]
    publisher = RealtimePublisher(given["redis_url"])
    count = 0
    with asyncio.Runner() as runner:
        while wanted := len(os.read(0, _BATCH)):
            numbers = range(count, count + wanted)
            events = [message(*pairs[each % len(pairs)], each // len(pairs) + 1) for each in numbers]
            if refused := runner.run(publisher.publish(events)):
                raise SystemExit(f"refused: {refused}")
            count += wanted
        runner.run(publisher.close())


if __name__ == "__main__":
    main()
