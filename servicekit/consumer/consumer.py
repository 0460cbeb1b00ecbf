"""Consumes one subscription for as long as the process lives."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable

import aio_pika
import asyncpg
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, AMQPError, ChannelPreconditionFailed, DeliveryError
from opentelemetry.trace import SpanKind, Status, StatusCode
from yarl import URL

from servicekit.consumer.consumed import mark_consumed
from servicekit.consumer.event import CloudEvent
from servicekit.consumer.topology import TRIES, Subscription
from servicekit.db import Executor
from servicekit.faults import as_unavailable
from servicekit.outbox.pause import Pause
from servicekit.telemetry import attach_traceparent, safe_traceback, tracer

Handler = Callable[[Executor, CloudEvent], Awaitable[None]]
"""The effect, inside the transaction that marks the event: it writes through this connection alone."""

# How often a message failed for its own sake, and how often because something behind us was away.
_FAILED = "x-failed"
_DEFERRED = "x-deferred"
_CONNECT_SECONDS = 10
_HEARTBEAT_SECONDS = 15
_ACQUIRE_SECONDS = 5
_BROKER_ERRORS = (*CONNECTION_EXCEPTIONS, AMQPError, OSError)
log = structlog.get_logger(__name__)


class _Lost(Exception):  # noqa: N818 - a state of the connection, said as one
    """The channel, or our consumer on it, has ended."""


class Consumer:
    """Hands each event of the subscription to `handler` once, whatever is killed, restarted or cut.

    A handler that raises makes the message wait and come again, longer each time; the fifth time it goes
    to the dead-letter queue, and the others flow on. A passing fault (`servicekit.faults`) counts for
    nothing: the consumer pauses, and the message comes again until it works.
    """

    def __init__(
        self,
        amqp_url: str,
        subscription: Subscription,
        pool: asyncpg.Pool,
        handler: Handler,
        *,
        grace_s: float = 10.0,
    ) -> None:
        self._url = amqp_url
        self._subscription = subscription
        self._pool = pool
        self._handler = handler
        self._grace_s = grace_s
        self._log = log.bind(consumer=subscription.queue)
        self._stop = asyncio.Event()
        self._away = Pause()
        self._fault = Pause()
        self._in_hand: set[asyncio.Task[None]] = set()
        self.consuming = asyncio.Event()
        """Set while the broker sends us messages."""

    async def run(self, stop: asyncio.Event) -> None:
        """Consumes until `stop`, then finishes what is in hand. No fault ends it."""
        self._stop = stop
        while not stop.is_set():
            try:
                await self._session()
            except ChannelPreconditionFailed as error:
                self._away.begin()
                self._log.error("a queue exists with other arguments", error=str(error))
            except (_Lost, *_BROKER_ERRORS) as error:
                if self._away.begin() == 1:
                    self._log.warning("broker away, the consumer waits", error=type(error).__name__)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                self._away.begin()  # aiormq cancels what waits for a connection that closes
            await _wait(stop, self._away.left())
        await self._finish()  # what a lost session left: it cannot acknowledge, but its effect stands

    async def _session(self) -> None:
        connection = await aio_pika.connect(
            _with_heartbeat(self._url),
            timeout=_CONNECT_SECONDS,
            client_properties={"connection_name": self._subscription.queue},
        )
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
                await channel.set_qos(prefetch_count=self._subscription.prefetch)
                queue = await self._subscription.declare(channel)
                lost = asyncio.Event()
                underlay = await channel.get_underlay_channel()
                channel.close_callbacks.add(lambda *_: lost.set())
                underlay.on_consumer_cancel_callbacks.add(lambda *_: lost.set())

                async def receive(message: AbstractIncomingMessage) -> None:
                    self._take(channel, message, lost)

                tag = await queue.consume(receive)
            self._away.end()
            self.consuming.set()
            self._log.info("consuming", routing_keys=self._subscription.routing_keys)
            if await self._ended(lost):
                raise _Lost
            async with asyncio.timeout(_CONNECT_SECONDS):
                await queue.cancel(tag)
            await self._finish()
        finally:
            self.consuming.clear()
            await _close(connection)

    async def _ended(self, lost: asyncio.Event) -> bool:
        """Waits for the stop or the end of the channel; whether it was the channel's."""
        waits = [asyncio.create_task(event.wait()) for event in (self._stop, lost)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return lost.is_set()

    def _take(self, channel: AbstractChannel, message: AbstractIncomingMessage, lost: asyncio.Event) -> None:
        # A task of our own: aiormq would cancel its own in the middle of a commit when the channel closes.
        task = asyncio.get_running_loop().create_task(
            self._process(channel, message, lost), context=contextvars.Context()
        )
        self._in_hand.add(task)
        task.add_done_callback(self._in_hand.discard)

    async def _finish(self) -> None:
        if self._in_hand:
            _, unfinished = await asyncio.wait(self._in_hand, timeout=self._grace_s)
            for task in unfinished:
                task.cancel()
            if unfinished:
                self._log.warning("messages given back unfinished", count=len(unfinished))
                await asyncio.wait(unfinished)

    async def _process(
        self, channel: AbstractChannel, message: AbstractIncomingMessage, lost: asyncio.Event
    ) -> None:
        try:
            try:
                await self._settle(channel, message)
            except DeliveryError as error:
                # The queue to wait in took no copy, or is not there. The next session makes what is missing.
                self._log.warning(
                    "nowhere to wait", message_id=message.message_id, error=type(error).__name__
                )
                await message.nack(requeue=True)
                lost.set()
        except _BROKER_ERRORS as error:
            # The channel is gone: what is not acknowledged comes again, and its effect is known then.
            self._log.info("not acknowledged", message_id=message.message_id, error=type(error).__name__)

    async def _settle(self, channel: AbstractChannel, message: AbstractIncomingMessage) -> None:
        while self._fault.holds() and not self._stop.is_set():
            await _wait(self._stop, self._fault.left())
        if self._fault.holds():  # stopping: what has not begun is another worker's
            await self._come_again(channel, message, _DEFERRED)
            return
        try:
            await self._consume(message)
        except Exception as error:  # noqa: BLE001 - whatever it was, the queue must flow on
            fault = as_unavailable(error)
            if fault is not None and fault.retryable:
                if not self._fault.holds():
                    self._fault.begin()
                self._log.warning("event waits", message_id=message.message_id, cause=type(error).__name__)
                await self._come_again(channel, message, _DEFERRED)
            else:
                await self._fail(channel, message, error)
        else:
            self._fault.end()
            await message.ack()

    async def _consume(self, message: AbstractIncomingMessage) -> None:
        traceparent = message.headers.get("traceparent")
        name = f"consume {self._subscription.queue}"
        with (
            attach_traceparent(traceparent if isinstance(traceparent, str) else None),
            tracer().start_as_current_span(
                name, kind=SpanKind.CONSUMER, record_exception=False, set_status_on_exception=False
            ) as span,
        ):
            span.set_attribute("messaging.system", "rabbitmq")
            span.set_attribute("messaging.destination.name", self._subscription.queue)
            try:
                event = CloudEvent.parse(message.body)
                span.set_attribute("messaging.message.id", str(event.event_id))
                first = await self._take_effect(event)
            except Exception as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR))
                raise
            if not first:
                self._log.info("event known already", event_id=str(event.event_id), event_name=event.name)

    async def _take_effect(self, event: CloudEvent) -> bool:
        async with self._pool.acquire(timeout=_ACQUIRE_SECONDS) as conn, conn.transaction():
            if not await mark_consumed(conn, self._subscription.consumer, event.event_id):
                return False
            await self._handler(conn, event)
        return True

    async def _fail(
        self, channel: AbstractChannel, message: AbstractIncomingMessage, error: Exception
    ) -> None:
        failures = _count(message, _FAILED) + 1
        say = self._log.error if failures >= TRIES else self._log.warning
        say(
            "event given up" if failures >= TRIES else "event failed, tried again later",
            message_id=message.message_id,
            failures=failures,
            exception=safe_traceback(error),
        )
        if failures >= TRIES:
            await message.reject(requeue=False)
        else:
            await self._come_again(channel, message, _FAILED)

    async def _come_again(
        self, channel: AbstractChannel, message: AbstractIncomingMessage, counter: str
    ) -> None:
        """Puts a copy into a queue where it waits, and only when that is confirmed lets the message go."""
        count = _count(message, counter) + 1
        counts = {name: message.headers[name] for name in (_FAILED, _DEFERRED) if name in message.headers}
        traceparent = message.headers.get("traceparent")
        copy = aio_pika.Message(
            message.body,
            content_type=message.content_type,
            message_id=message.message_id,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            headers={
                **({} if traceparent is None else {"traceparent": traceparent}),
                **counts,
                counter: count,
            },
        )
        await channel.default_exchange.publish(copy, routing_key=self._subscription.retry_queue(count))
        await message.ack()


def _with_heartbeat(url: str) -> URL:
    """A broker that hangs is noticed after three of these; the URL may name its own."""
    parsed = URL(url)
    return parsed if "heartbeat" in parsed.query else parsed.update_query(heartbeat=_HEARTBEAT_SECONDS)


def _count(message: AbstractIncomingMessage, name: str) -> int:
    value = message.headers.get(name)
    return value if isinstance(value, int) and value >= 0 else 0


async def _close(connection: AbstractConnection) -> None:
    try:
        async with asyncio.timeout(1):
            await connection.close()
    except (TimeoutError, *_BROKER_ERRORS) as error:
        log.debug("a broken connection was left", error=type(error).__name__)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
