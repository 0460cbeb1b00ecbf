"""Events to RabbitMQ: CloudEvents 1.0 in structured JSON on the topic exchange `chat.events`.

The routing key is the event's name and version, such as `message.created.v1`. Every message is
persistent and confirmed by the broker. `traceparent` is in the CloudEvent and in the AMQP header.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

import aiormq
import orjson
import structlog
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aiormq.abc import AbstractConnection
from aiormq.channel import Channel

from servicekit.amqp_batch import Confirm, Outgoing, is_kept, send_batch, settled
from servicekit.amqp_confirms import ConfirmingStreams
from servicekit.outbox.events import BusEvent, Refused, SinkUnavailable, rfc3339, uuid_text
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
            ids: list[UUID] = []
            messages: list[Outgoing] = []
            for event, traceparent in zip(events, traceparents, strict=True):
                try:
                    messages.append(self._message(event, traceparent))
                except TypeError as error:
                    refused[event.event_id] = type(error).__name__
                else:
                    ids.append(event.event_id)
            confirms: list[Confirm] = []
            try:
                async with asyncio.timeout(self._timeout_s), self._lock:
                    await self._send(messages, confirms)
            except (TimeoutError, *CONNECTION_EXCEPTIONS) as error:
                raise SinkUnavailable(f"rabbitmq: {type(error).__name__}", _kept(ids, confirms)) from error
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                # aiormq cancels what waits for a connection that closes; nobody cancelled us.
                raise SinkUnavailable("rabbitmq: the connection closed", _kept(ids, confirms)) from error
            for event_id, confirm in zip(ids, confirms, strict=True):
                if not is_kept(confirm):
                    refused[event_id] = "not confirmed"
            return refused

    async def close(self) -> None:
        """Close the connection."""
        self._drop()
        await asyncio.gather(*self._closing)

    def _message(self, event: BusEvent, traceparent: str | None) -> Outgoing:
        body = encode_cloud_event(event, source=f"/{self._service}", traceparent=traceparent)
        return Outgoing(event.name, body, _CONTENT_TYPE, uuid_text(event.event_id), traceparent)

    async def _send(self, messages: Sequence[Outgoing], confirms: list[Confirm]) -> None:
        """Sends all and waits until the broker has answered for each; fills `confirms`, in their order."""
        try:
            channel = await self._open_channel()
            confirms += send_batch(channel, EXCHANGE, messages)
            await settled(channel, confirms)
        except BaseException:
            self._drop()  # what is still on its way there must not be confirmed to the next batch
            raise

    async def _open_channel(self) -> Channel:
        if self._channel is None or self._channel.is_closed:
            self._drop()
            streams = ConfirmingStreams()
            self._connection = await aiormq.connect(
                self._url,
                transport_factory=streams,
                client_properties={"connection_name": f"{self._service} outbox"},
            )
            channel = cast(Channel, await self._connection.channel(publisher_confirms=True))
            await channel.exchange_declare(EXCHANGE, exchange_type="topic", durable=True)
            streams.confirm(channel)
            self._channel = channel
        return self._channel

    def _drop(self) -> None:
        """Forget the connection; it is closed in the background, since a dead one takes its time."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            closing = asyncio.create_task(_close(connection))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


def _kept(ids: Sequence[UUID], confirms: Sequence[Confirm]) -> set[UUID]:
    """What the broker has said that it keeps. No confirms: nothing was sent."""
    return {event_id for event_id, confirm in zip(ids, confirms, strict=False) if is_kept(confirm)}


async def _close(connection: AbstractConnection) -> None:
    try:
        async with asyncio.timeout(1):
            await connection.close()
    except (TimeoutError, *CONNECTION_EXCEPTIONS) as error:
        log.debug("a broken connection was left", sink="bus", error=type(error).__name__)
