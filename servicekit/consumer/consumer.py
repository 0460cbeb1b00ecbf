"""Consumes one subscription for as long as the process lives."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, cast

import aio_pika
import asyncpg
import structlog
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, AMQPError, ChannelPreconditionFailed
from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel
from yarl import URL

from servicekit.consumer.delivery import Delivery, Source
from servicekit.consumer.topology import Subscription
from servicekit.consumer.work import Handler, Inbox, Worker
from servicekit.outbox.pause import Pause
from servicekit.runner import until_stop
from servicekit.telemetry import safe_traceback

_CONNECT_SECONDS = 10
_HEARTBEAT_SECONDS = 15
_BROKER_ERRORS = (*CONNECTION_EXCEPTIONS, AMQPError, OSError)
log = structlog.get_logger(__name__)


class _Lost(Exception):  # noqa: N818 - a state of the connection, said as one
    """The channel, or our consumer on it, has ended."""


class Consumer:
    """Hands the subscription's events to `handler`, each once, whatever is killed, restarted or cut.

    What waits (at most `prefetch` of the subscription) is handled together, in one transaction, and never
    waited for. A handler that raises for an event alone makes it wait and come again, longer each time; the
    fifth time it goes to the dead-letter queue, and the others flow on. A passing fault (`servicekit.faults`)
    counts for nothing: the consumer pauses, and the events come again until it works.
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
        self._away = Pause()
        self._began = False
        self._in_hand: set[asyncio.Task[None]] = set()
        self.consuming = asyncio.Event()
        """Set while the broker sends us messages."""

    async def run(self, stop: asyncio.Event) -> None:
        """Consumes until `stop`, then finishes what is in hand. No fault ends it."""
        worker = Worker(self._subscription, self._pool, self._handler, stop)
        while not stop.is_set():
            try:
                await self._session(worker, stop)
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
            await until_stop(stop, self._away.left())
        await self._finish()  # what a lost session left: it cannot acknowledge, but its effect stands

    async def _session(self, worker: Worker, stop: asyncio.Event) -> None:
        connection = await aio_pika.connect(
            _with_heartbeat(self._url),
            timeout=_CONNECT_SECONDS,
            client_properties={"connection_name": self._subscription.queue},
        )
        inbox = Inbox()
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
                queue = await self._subscription.declare(channel)
                if not self._began:  # and no more: another release's process may have bound them since
                    await self._subscription.drop(queue)
                    self._began = True
                lost = asyncio.Event()
                underlay = cast(Channel, await channel.get_underlay_channel())
                channel.close_callbacks.add(lambda *_: lost.set())
                underlay.on_consumer_cancel_callbacks.add(lambda *_: lost.set())
                self._work(worker, Source(channel, underlay, self._subscription), inbox, lost)

                first = asyncio.Event()

                async def receive(message: DeliveredMessage) -> None:
                    delivery = Delivery.of(message)
                    inbox.put(delivery)
                    if not delivery.redelivered:
                        first.set()

                tag = await _consume(underlay, queue.name, receive, prefetch=1)
            self._away.end()
            self.consuming.set()
            self._log.info("consuming", routing_keys=self._subscription.routing_keys)
            # One at a time as long as they are such as somebody may have died over: the broker counts every
            # death for all that were delivered, and five are the end of each.
            await _first_of(stop, lost, first)
            if not stop.is_set() and not lost.is_set():
                async with asyncio.timeout(_CONNECT_SECONDS):
                    await underlay.basic_cancel(tag)
                    tag = await _consume(underlay, queue.name, receive, prefetch=self._subscription.prefetch)
                await _first_of(stop, lost)
            if lost.is_set():
                raise _Lost
            async with asyncio.timeout(_CONNECT_SECONDS):
                await underlay.basic_cancel(tag)
            inbox.close(discard=False)
            await self._finish()
        finally:
            self.consuming.clear()
            inbox.close(discard=True)
            await _close(connection)

    def _work(self, worker: Worker, source: Source, inbox: Inbox, lost: asyncio.Event) -> None:
        async def work() -> None:
            try:
                await worker.run(source, inbox)
            except _BROKER_ERRORS as error:
                # What is not acknowledged comes again, and its effect is known then.
                self._log.info("not acknowledged", error=type(error).__name__)
            except Exception as error:  # noqa: BLE001 - whatever it was, the next session begins anew
                self._log.error("consumer failed", exception=safe_traceback(error))
            finally:
                lost.set()

        # A task of our own: aiormq would cancel its own in the middle of a commit when the channel closes.
        task = asyncio.get_running_loop().create_task(work(), context=contextvars.Context())
        self._in_hand.add(task)
        task.add_done_callback(self._in_hand.discard)

    async def _finish(self) -> None:
        if self._in_hand:
            _, unfinished = await asyncio.wait(self._in_hand, timeout=self._grace_s)
            for task in unfinished:
                task.cancel()
            if unfinished:
                self._log.warning("a batch was given back unfinished")
                await asyncio.wait(unfinished)


async def _consume(
    channel: Channel,
    queue: str,
    receive: Callable[[DeliveredMessage], Coroutine[Any, Any, None]],
    *,
    prefetch: int,
) -> str:
    """Begins to consume; its tag. `prefetch`: how many may wait for our word."""
    await channel.basic_qos(prefetch_count=prefetch)  # of the consumers that begin after it
    # aio_pika's own `consume` makes an object a message that costs as much as all the rest.
    consumed = await channel.basic_consume(queue, receive)
    return str(consumed.consumer_tag)


async def _first_of(*events: asyncio.Event) -> None:
    """Returns when one of them is set."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def _with_heartbeat(url: str) -> URL:
    """A broker that hangs is noticed after three of these; the URL may name its own."""
    parsed = URL(url)
    return parsed if "heartbeat" in parsed.query else parsed.update_query(heartbeat=_HEARTBEAT_SECONDS)


async def _close(connection: AbstractConnection) -> None:
    try:
        async with asyncio.timeout(1):
            await connection.close()
    except (TimeoutError, *_BROKER_ERRORS) as error:
        log.debug("a broken connection was left", error=type(error).__name__)
