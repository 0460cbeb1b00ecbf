"""Events to RabbitMQ: CloudEvents 1.0 in structured JSON on the topic exchange `chat.events`.

The routing key is the event's name and version, such as `message.created.v1`. Every message is
persistent and confirmed by the broker. `traceparent` is in the CloudEvent and in the AMQP header.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import aio_pika
import orjson
import structlog
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, DeliveryError
from aiormq.channel import Channel
from pamqp.commands import Basic
from pamqp.common import FieldTable

from servicekit.outbox.events import BusEvent, Refused, SinkUnavailable, rfc3339
from servicekit.outbox.spans import publish_spans

EXCHANGE = "chat.events"
log = structlog.get_logger(__name__)
_CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"


def encode_cloud_event(event: BusEvent, *, source: str, traceparent: str | None) -> bytes:
    """The message's body. TypeError when the payload is not JSON."""
    body: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.event_id,
        "source": source,
        "type": event.name,
        "subject": event.subject,
        "time": rfc3339(event.occurred_at),
        "datacontenttype": "application/json",
    }
    if traceparent is not None:
        body["traceparent"] = traceparent
    body["data"] = event.payload
    return orjson.dumps(body)


class BusPublisher:
    """Publishes to RabbitMQ as `service`, whose name is the CloudEvents' source.

    The connection is made when first needed and again after a failure, rather than by aio-pika's robust
    connection: a publish must fail within `timeout_s` when the broker is away, not wait for it, because
    the outbox keeps what was not confirmed.
    """

    def __init__(self, amqp_url: str, *, service: str, timeout_s: float = 5.0) -> None:
        self._url = amqp_url
        self._service = service
        self._timeout_s = timeout_s
        self._lock = (
            asyncio.Lock()
        )  # one batch at a time, so that none loses its channel to another's failure
        self._connection: AbstractConnection | None = None
        self._channel: Channel | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def publish(self, events: Sequence[BusEvent]) -> Refused:
        """Publish in the given order and await every confirm, at most `timeout_s` for all of it.

        Raises SinkUnavailable when the broker is away or does not confirm in time. An event is refused
        when it cannot be encoded or the broker will not keep it.
        """
        with publish_spans("publish bus", events) as traceparents:
            refused: dict[UUID, str] = {}
            confirmed: set[UUID] = set()
            messages: list[_Message] = []
            for event, traceparent in zip(events, traceparents, strict=True):
                try:
                    body = encode_cloud_event(event, source=f"/{self._service}", traceparent=traceparent)
                except TypeError as error:
                    refused[event.event_id] = type(error).__name__
                else:
                    messages.append(_Message(event, body, traceparent))
            try:
                async with asyncio.timeout(self._timeout_s), self._lock:
                    await self._send(messages, refused, confirmed)
            except (TimeoutError, *CONNECTION_EXCEPTIONS) as error:
                raise SinkUnavailable(f"rabbitmq: {type(error).__name__}", confirmed) from error
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                # aiormq cancels what waits for a connection that closes; nobody cancelled us.
                raise SinkUnavailable("rabbitmq: the connection closed", confirmed) from error
            return refused

    async def close(self) -> None:
        """Close the connection."""
        self._drop()
        await asyncio.gather(*self._closing)

    async def _send(
        self, messages: Sequence["_Message"], refused: dict[UUID, str], confirmed: set[UUID]
    ) -> None:
        try:
            channel = await self._open_channel()
            outcomes = await asyncio.gather(
                *(message.publish(channel, confirmed) for message in messages), return_exceptions=True
            )
            for message, outcome in zip(messages, outcomes, strict=True):
                if isinstance(outcome, DeliveryError):
                    refused[message.event.event_id] = "not confirmed"
                elif isinstance(outcome, BaseException):
                    raise outcome
        except BaseException:
            self._drop()  # what is still on its way there must not be confirmed to the next batch
            raise

    async def _open_channel(self) -> Channel:
        if self._channel is None or self._channel.is_closed:
            self._drop()
            self._connection = await aio_pika.connect(
                self._url, client_properties={"connection_name": f"{self._service} outbox"}
            )
            channel = await self._connection.channel(publisher_confirms=True)
            await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
            self._channel = cast(Channel, await channel.get_underlay_channel())
        return self._channel

    def _drop(self) -> None:
        """Forget the connection; it is closed in the background, since a dead one takes its time."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            closing = asyncio.create_task(_close(connection))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


@dataclass(frozen=True, slots=True)
class _Message:
    event: BusEvent
    body: bytes
    traceparent: str | None

    async def publish(self, channel: Channel, confirmed: set[UUID]) -> None:
        """Adds itself to `confirmed` when the broker has. DeliveryError when it will not keep the message."""
        headers: FieldTable = {} if self.traceparent is None else {"traceparent": self.traceparent}
        await channel.basic_publish(
            self.body,
            exchange=EXCHANGE,
            routing_key=self.event.name,
            properties=Basic.Properties(
                content_type=_CONTENT_TYPE,
                delivery_mode=2,
                message_id=str(self.event.event_id),
                headers=headers,
            ),
            mandatory=False,
            # Not waiting for the socket lets a batch go out together; the confirm is awaited all the same.
            wait=False,
        )
        confirmed.add(self.event.event_id)


async def _close(connection: AbstractConnection) -> None:
    try:
        async with asyncio.timeout(1):
            await connection.close()
    except (TimeoutError, *CONNECTION_EXCEPTIONS) as error:
        log.debug("a broken connection was left", sink="bus", error=type(error).__name__)
