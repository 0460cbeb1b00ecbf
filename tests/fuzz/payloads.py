"""Odd payloads on the channels, and in the streams, of a running edge's Redis."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import redis.asyncio as redis

from servicekit import control, realtime
from tests.fuzz.channels import ANNOUNCED, NEWS, PUBLISHED, REFS
from tests.fuzz.odd import Odd
from tests.fuzz.report import Report

_WHERE = ("0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", "nowhere", "")
_NAMES = ("message.created", "message.updated", "conversation.updated", "read.receipt", b"\xff")
_TIMES = ("2020-01-02T03:04:05.678Z", "2020-01-02", "2920-01-02T03:04:05.678Z", "now", "")
_EVERY_S = 0.01


async def bring(url: str, users: Sequence[str], chance: random.Random, report: Report) -> None:
    """Until it is cancelled."""
    published, announced = Odd(chance, PUBLISHED), Odd(chance, ANNOUNCED)
    news, refs = Odd(chance, NEWS), Odd(chance, REFS)
    client = redis.Redis.from_url(url)
    try:
        while True:
            user = chance.choice(users)
            match chance.randrange(6):
                case 0:
                    await client.publish(realtime.EVERYBODY, announced.text())
                case 1:
                    await client.publish(control.CHANNEL, news.text())
                case 2:
                    listed = chance.choice((b'["x"]\n', b"[]\n", b"{}\n", b"\n", b""))
                    await client.publish(realtime.conversation_channel(_WHERE[0]), listed + announced.text())
                    await client.publish(realtime.presence_channel(user), announced.text())
                case 3:
                    await client.publish(realtime.channel(user), b"17-1\n" + published.text())
                case _:
                    fields = {
                        "type": chance.choice(_NAMES),
                        "eventId": str(chance.getrandbits(64)),
                        "at": chance.choice(_TIMES),
                        "refs": refs.text(),
                        "conversationId": chance.choice(_WHERE),
                    }
                    await client.xadd(realtime.stream_key(user), fields, maxlen=100)  # type: ignore[arg-type]
            report.counts["payloads in Redis"] += 1
            await asyncio.sleep(_EVERY_S)
    finally:
        await client.aclose()
