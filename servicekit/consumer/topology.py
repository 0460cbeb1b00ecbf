"""The queues of one consumer, declared by whoever consumes; declaring again changes nothing.

    chat.events --routing keys--> <service>.<consumer> --given up--> <service>.<consumer>.dead
                                        ^       | failed
                                        |       v
                                  <service>.<consumer>.retry.<milliseconds>    (time over: back)

All are quorum queues. Every dead-lettering is at-least-once (RabbitMQ 3.10 and later): a message leaves
its queue only when the next one has confirmed it, which the broker demands `reject-publish` for.

Declare before there is anything to lose: RabbitMQ 3.10 that is killed within half a second of a quorum
queue's very first declaration comes back with a queue that never elects a leader (seen with 3.10.8).
"""

from dataclasses import dataclass
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractQueue

from servicekit.bus import EXCHANGE

TRIES = 5
"""How often a message may fail, and how often a worker may die over it, before it goes to the dead."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """What one consumer of a service receives, and how."""

    service: str
    consumer: str
    routing_keys: tuple[str, ...]
    dropped_keys: tuple[str, ...] = ()
    """What it received once and receives no more; a process takes the bindings off when it begins."""
    prefetch: int = 250
    """Messages in one process that are not acknowledged yet: the largest batch."""
    retry_seconds: tuple[float, ...] = (1.0, 10.0, 60.0)
    """How long a message that failed waits, time after time; the last one stays."""

    @property
    def queue(self) -> str:
        return f"{self.service}.{self.consumer}"

    @property
    def dead_queue(self) -> str:
        return f"{self.queue}.dead"

    def retry_queue(self, failures: int) -> str:
        """Where a message waits after so many failures (1, 2, …)."""
        return self._retry_queue(self.retry_seconds[min(failures, len(self.retry_seconds)) - 1])

    def _retry_queue(self, seconds: float) -> str:
        # The delay is in the name: a queue's arguments never change, so another delay is another queue.
        return f"{self.queue}.retry.{round(seconds * 1000)}"

    async def declare(self, channel: AbstractChannel) -> AbstractQueue:
        """Makes what is missing; the queue to consume from. Raises what the broker refuses."""
        await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
        await _quorum_queue(channel, self.dead_queue)
        for seconds in self.retry_seconds:
            await _quorum_queue(
                channel,
                self._retry_queue(seconds),
                **{"x-message-ttl": round(seconds * 1000)},
                **_dead_lettering(self.queue),
            )
        queue = await _quorum_queue(
            channel, self.queue, **{"x-delivery-limit": TRIES}, **_dead_lettering(self.dead_queue)
        )
        for key in self.routing_keys:
            await queue.bind(EXCHANGE, key)
        return queue

    async def drop(self, queue: AbstractQueue) -> None:
        """Takes off the bindings of `dropped_keys`; what is in the queue already stays."""
        for key in self.dropped_keys:
            await queue.unbind(EXCHANGE, key)


async def _quorum_queue(channel: AbstractChannel, name: str, **arguments: Any) -> AbstractQueue:
    return await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum", **arguments})


def _dead_lettering(queue: str) -> dict[str, Any]:
    return {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
