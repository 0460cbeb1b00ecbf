"""nchan's two ends: sockets that listen to a channel, and HTTP requests that publish to it."""

from __future__ import annotations

import socket
from collections import deque

from bench.load.notice import notice
from bench.load.poll import Http, Lost, Poll, Refused, connect, upgrade

_CONNECTIONS = 4
_ANSWER_S = 10.0


def subscribe(url: str, path: str) -> socket.socket:
    """A WebSocket, opened. Nothing may be published meanwhile. Raises Refused, or Lost."""
    sock = connect(url)
    sock.settimeout(_ANSWER_S)
    sock.sendall(upgrade(path))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = sock.recv(4096)
        if not data:
            raise Lost("a WebSocket")
        head += data
    if not head.startswith(b"HTTP/1.1 101"):
        raise Refused(head)
    return sock


class Publisher:
    """Publishes notices over some kept connections; those that find all of them in work wait their turn."""

    def __init__(self, poll: Poll, url: str, path: str) -> None:
        self._head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ".encode()
        self._waiting: deque[bytes] = deque()
        self._all = [self._connection(poll, url) for _ in range(_CONNECTIONS)]
        self._free = list(self._all)

    def _connection(self, poll: Poll, url: str) -> Http:
        def answered(status: int, body: bytes) -> None:
            if not 200 <= status < 300:
                raise RuntimeError(f"a notice was answered {status}: {body[:300]!r}")
            self._free.append(http)
            self._send()

        http = Http(poll, url, answered)
        return http

    def publish(self, messages: int) -> None:
        self._waiting.extend(notice() for _ in range(messages))
        self._send()

    def _send(self) -> None:
        while self._free and self._waiting:
            body = self._waiting.popleft()
            self._free.pop().send(self._head + b"%d\r\n\r\n" % len(body) + body)

    def close(self) -> None:
        for http in self._all:
            http.close()
