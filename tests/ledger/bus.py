"""What reached RabbitMQ: a queue keeps events of messages and of who writes until they are looked at."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import aio_pika
import orjson
from aio_pika.abc import AbstractQueue
from aio_pika.exceptions import AMQPException

from servicekit.bus import EXCHANGE
from tests.ledger.truth import Written

_QUEUE = "ledger"
_CREATED, _WRITTEN = "message.created.v1", "conversation.written.v1"
_AT_ONCE = 200


class Listener:
    """The events that have arrived."""

    def __init__(self, amqp_url: str):
        self._url = amqp_url
        self.heard: dict[str, set[str]] = {}
        """Ids of events by the message that they tell of."""
        self.written: dict[str, Written] = {}
        """That somebody writes, by the event's id."""

    async def begin(self) -> None:
        """Makes the queue: what is published from now on arrives there."""
        async with await aio_pika.connect(self._url) as connection:
            channel = await connection.channel()
            exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
            queue = await self._queue(channel)
            for name in (_CREATED, _WRITTEN):
                await queue.bind(exchange, name)

    async def look(self) -> None:
        """Takes what has arrived; nothing while the broker is away."""
        try:
            async with await aio_pika.connect(self._url, timeout=5) as connection:
                channel = await connection.channel()
                await channel.set_qos(prefetch_count=_AT_ONCE)
                queue = await self._queue(channel)
                left = queue.declaration_result.message_count or 0
                if not left:
                    return
                async with queue.iterator(timeout=5) as messages:
                    async for message in messages:
                        self._hear(orjson.loads(message.body))
                        await message.ack()
                        left -= 1
                        if not left:
                            return
        except (AMQPException, OSError, TimeoutError):
            return

    def _hear(self, event: dict[str, Any]) -> None:
        facts = event["data"]
        if event["type"] == _CREATED:
            self.heard.setdefault(facts["messageId"], set()).add(event["id"])
            return
        until = datetime.fromisoformat(facts["coveredUntil"]).timestamp()
        self.written[event["id"]] = Written(
            event["id"], facts["conversationId"], int(facts["seq"]), facts["senderId"], until
        )

    async def _queue(self, channel: aio_pika.abc.AbstractChannel) -> AbstractQueue:
        return await channel.declare_queue(_QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
