"""Free loopback ports for servers of our own."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"
# Below 32768, where the kernel takes the ports of outgoing connections: one of those could be gone again
# between the look and the start. Above the well-known ones, which a system instance may want later.
_RANGE = range(20_000, 32_768)


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
    """A free port, drawn at random so that two starts at once do not choose alike."""
    for port in random.sample(_RANGE, k=200):
        if is_free(port):
            return port
    raise OSError("no free port found on loopback between 20000 and 32767")
