"""What reached RabbitMQ: a queue keeps each event of a new message until it is looked at."""

from __future__ import annotations

import aio_pika
import orjson
from aio_pika.abc import AbstractQueue
from aio_pika.exceptions import AMQPException

from servicekit.bus import EXCHANGE

_QUEUE = "ledger"


class Listener:
    """The messages whose event has arrived, by id."""

    def __init__(self, amqp_url: str):
        self._url = amqp_url
        self.heard: set[str] = set()

    async def begin(self) -> None:
        """Makes the queue: what is published from now on arrives there."""
        async with await aio_pika.connect(self._url) as connection:
            channel = await connection.channel()
            exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
            await (await self._queue(channel)).bind(exchange, "message.created.v1")

    async def look(self) -> None:
        """Takes what has arrived; nothing while the broker is away."""
        try:
            async with await aio_pika.connect(self._url, timeout=5) as connection:
                queue = await self._queue(await connection.channel())
                while (message := await queue.get(fail=False, timeout=5)) is not None:
                    self.heard.add(orjson.loads(message.body)["data"]["messageId"])
                    await message.ack()
        except (AMQPException, OSError, TimeoutError):
            return

    async def _queue(self, channel: aio_pika.abc.AbstractChannel) -> AbstractQueue:
        return await channel.declare_queue(_QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
