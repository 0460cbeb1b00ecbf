"""`chatctl announce`: a notice to everybody who is connected now, kept nowhere."""

from datetime import UTC, datetime
from enum import StrEnum

import redis.asyncio as redis
from redis.exceptions import RedisError

from chatctl.running import Running
from servicekit.errors import ChatError, Reason
from servicekit.ids import new_id
from servicekit.outbox.events import RealtimeEvent
from servicekit.realtime import EVERYBODY, encode_frame

NOTICE = "system.notice"
CODE = "announcement"
LONGEST_TEXT = 2000
_PATIENCE_S = 5.0


class Severity(StrEnum):
    """How much it matters: what a client makes of it, such as a colour."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


async def announce(running: Running, text: str, severity: Severity) -> int:
    """Says it to every open socket; returns how many edges heard. Raises ChatError UNAVAILABLE."""
    now = datetime.now(UTC)
    data = {"noticeId": str(new_id()), "code": CODE, "severity": severity.value, "text": text}
    event = RealtimeEvent(new_id(), NOTICE, (), None, {}, now, data)
    client = redis.Redis.from_url(
        running.redis_url, socket_connect_timeout=_PATIENCE_S, socket_timeout=_PATIENCE_S
    )
    try:
        return int(await client.publish(EVERYBODY, encode_frame(event)))
    except (RedisError, OSError) as error:
        raise ChatError(Reason.UNAVAILABLE, "Redis does not answer.") from error
    finally:
        await client.aclose()
