"""The receiving end of the bus: events from RabbitMQ, each one's effect once.

    async def on_message_created(conn, event):        # in the transaction that also marks the event
        created = event.read(events_pb2.MessageCreated)
        ...

    consumer = Consumer(amqp_url, subscription, pool, on_message_created)
    await consumer.run(stop)

RabbitMQ delivers at least once. The effect and the event's id in `consumed` commit together, and only
then is the message acknowledged: a worker killed at any moment leaves either nothing or all of it.
"""

from servicekit.consumer.consumed import forget_consumed
from servicekit.consumer.consumer import Consumer, Handler
from servicekit.consumer.event import CloudEvent, MalformedEvent
from servicekit.consumer.topology import Subscription

__all__ = ["CloudEvent", "Consumer", "Handler", "MalformedEvent", "Subscription", "forget_consumed"]
