"""A message as it was delivered, and the channel on which what became of it is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import aio_pika
from aio_pika.abc import AbstractChannel
from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel

from servicekit.consumer.topology import Subscription

# How often a message failed for its own sake, and how often because something behind us was away.
_FAILED = "x-failed"
_DEFERRED = "x-deferred"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the consumer needs of a message."""

    tag: int
    body: bytes
    message_id: str | None
    content_type: str | None
    traceparent: str | None
    failed: int
    deferred: int
    redelivered: bool
    """Whoever had it before did not settle it, and may have died over it."""

    @classmethod
    def of(cls, message: DeliveredMessage) -> Self:
        properties = message.header.properties
        headers: dict[str, Any] = properties.headers or {}
        traceparent = headers.get("traceparent")
        return cls(
            tag=message.delivery_tag or 0,
            body=message.body,
            message_id=properties.message_id,
            content_type=properties.content_type,
            traceparent=traceparent if isinstance(traceparent, str) else None,
            failed=_count(headers.get(_FAILED)),
            deferred=_count(headers.get(_DEFERRED)),
            redelivered=bool(message.redelivered),
        )


class Source:
    """Where deliveries came from. What it raises is an AMQPError or a fault of the connection."""

    def __init__(self, channel: AbstractChannel, underlay: Channel, subscription: Subscription) -> None:
        self._channel = channel
        self._underlay = underlay
        self._subscription = subscription

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """They are done. All that came before the last of them is settled, or among them."""
        await self._underlay.basic_ack(deliveries[-1].tag, multiple=True)

    async def give_up(self, delivery: Delivery) -> None:
        """It goes to the dead."""
        await self._underlay.basic_reject(delivery.tag, requeue=False)

    async def fail(self, delivery: Delivery) -> None:
        """It waits and comes again, and has failed once more."""
        await self._come_again(delivery, delivery.failed + 1, failed=delivery.failed + 1)

    async def defer(self, delivery: Delivery) -> None:
        """It waits and comes again, by no fault of its own."""
        await self._come_again(delivery, delivery.deferred + 1, deferred=delivery.deferred + 1)

    async def _come_again(
        self, delivery: Delivery, times: int, *, failed: int | None = None, deferred: int | None = None
    ) -> None:
        """Puts a copy into a queue where it waits, and only when that is confirmed lets the message go."""
        headers: dict[str, Any] = {
            "traceparent": delivery.traceparent,
            _FAILED: failed or delivery.failed,
            _DEFERRED: deferred or delivery.deferred,
        }
        copy = aio_pika.Message(
            delivery.body,
            content_type=delivery.content_type,
            message_id=delivery.message_id,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            headers={name: value for name, value in headers.items() if value},
        )
        await self._channel.default_exchange.publish(copy, routing_key=self._subscription.retry_queue(times))
        await self._underlay.basic_ack(delivery.tag)


def _count(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else 0
