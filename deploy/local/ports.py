"""Free loopback ports for servers of our own."""

from __future__ import annotations

import random
import socket
from collections import deque

LOOPBACK = "127.0.0.1"
# Below 32768, where the kernel takes the ports of outgoing connections: one of those could be gone again
# between the look and the start. Above the well-known ones, which a system instance may want later.
_RANGE = range(20_000, 32_768)

_MOST_RESERVED = 256
_reserved: deque[socket.socket] = deque()


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on `port` of `host` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT is not taken
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_port() -> int:
    """A free port that no other start was given: not in this process, and in no other that lives."""
    for port in random.sample(_RANGE, k=min(200, len(_RANGE))):
        if is_free(port) and reserve(port):
            return port
    raise OSError("no free port found on loopback between 20000 and 32767")


def reserve(port: int) -> bool:
    """Marks the port as given away while this process lives; False when it was already.

    Between the draw and the server's own listening lie seconds, in which it looks free. The mark is a name
    in Linux's abstract socket namespace, which is as wide as that of the ports and cleared by the kernel. The
    oldest of many marks is let go: its server listens by then.
    """
    mark = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        mark.bind(f"\0splits-chat-port-{port}")
    except OSError:
        mark.close()
        return False
    _reserved.append(mark)
    if len(_reserved) > _MOST_RESERVED:
        _reserved.popleft().close()
    return True
