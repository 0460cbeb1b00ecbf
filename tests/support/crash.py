"""Commits events to the outbox and dies before publishing: `python crash.py URL SCHEMA USER KEY`."""

from __future__ import annotations

import asyncio
import os
import sys

from servicekit.bus import BusPublisher
from servicekit.db import connect_pool
from servicekit.outbox import Outbox
from servicekit.realtime import RealtimePublisher
from tests.support.outbox import bus_event, commit, realtime_event, render


async def main(url: str, schema: str, user: str, key: str) -> None:
    pool = await connect_pool(
        url, schema=schema, min_size=1, max_size=2, statement_timeout_ms=30_000, application_name="crash"
    )
    realtime = RealtimePublisher("redis://127.0.0.1:1/0")
    outbox = Outbox(pool, realtime, BusPublisher("amqp://127.0.0.1:1/", service="crash"), render=render)
    await commit(pool, outbox, realtime=[realtime_event(user)], bus=[bus_event(key)])
    os._exit(9)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
