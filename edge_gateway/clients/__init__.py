"""The services behind the edge, one method an RPC: typed, with a deadline, for a person."""

from edge_gateway.clients.backends import TOGETHER, Backends, conversation_stub, message_stub
from edge_gateway.clients.calls import Times, budget
from edge_gateway.clients.presence import presence_stub

__all__ = ["TOGETHER", "Backends", "Times", "budget", "conversation_stub", "message_stub", "presence_stub"]
