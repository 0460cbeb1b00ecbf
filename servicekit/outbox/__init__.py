"""The transactional outbox: what must be told is committed with the change it tells of.

async with pool.acquire() as conn, conn.transaction():
    ...                                             # the change
    await outbox.add(conn, realtime=events, bus=bus_events)
outbox.publish_soon(realtime=events, bus=bus_events)  # after the commit; returns at once
"""

from servicekit.outbox.events import BusEvent, RealtimeEvent, bus_rows, realtime_rows
from servicekit.outbox.outbox import Outbox, Renderer

__all__ = ["BusEvent", "Outbox", "RealtimeEvent", "Renderer", "bus_rows", "realtime_rows"]
