"""The receiving end of the bus: events from RabbitMQ, each one's effect once.

    async def on_messages_created(conn, events):      # in the transaction that also marks the events
        created = [event.read(events_pb2.MessageCreated) for event in events]
        ...

    consumer = Consumer(amqp_url, subscription, pool, on_messages_created)
    await consumer.run(stop)

RabbitMQ delivers at least once. The effects and the events' ids in `consumed` commit together, and only
then are the messages acknowledged: a worker killed at any moment leaves either nothing or all of it.
"""

from servicekit.consumer.consumed import forget_consumed
from servicekit.consumer.consumer import Consumer
from servicekit.consumer.event import CloudEvent, MalformedEvent
from servicekit.consumer.topology import Subscription
from servicekit.consumer.work import Handler

__all__ = ["CloudEvent", "Consumer", "Handler", "MalformedEvent", "Subscription", "forget_consumed"]
