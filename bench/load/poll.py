"""Connections without an event loop's costs: one `epoll`, callbacks, bytes.

A load generator that costs as much as what it loads measures itself. Here a received frame costs a system
call and some slices, so that one core of load fills the other with the server.
"""

from __future__ import annotations

import base64
import os
import select
import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

_ROOM = bytearray(256 * 1024)
"""What is read comes here first: the kernel would map and unmap room of that size for each read alone."""
_READ = memoryview(_ROOM)
PING, CLOSE, TEXT = 0x9, 0x8, 0x1


class Lost(Exception):  # noqa: N818 - a connection's state, said as one
    """The server ended a connection that the load still needs."""


class Refused(Lost):
    """A handshake was answered by something else than an upgrade; `status` says what."""

    def __init__(self, head: bytes) -> None:
        super().__init__(f"a WebSocket: {head[:200]!r}")
        self.status = int(head[9:12]) if head[9:12].isdigit() else 0


class Poll:
    """Waits for all connections at once."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[], None]] = {}

    def add(self, sock: socket.socket, on_readable: Callable[[], None]) -> None:
        """From now on `on_readable` is called when bytes have come."""
        sock.setblocking(False)
        self._readers[sock.fileno()] = on_readable
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def remove(self, sock: socket.socket) -> None:
        """No longer."""
        self._epoll.unregister(sock.fileno())
        del self._readers[sock.fileno()]

    def turn(self, timeout_s: float) -> None:
        """Handles what has come, or waits for it at most `timeout_s`."""
        readers = self._readers
        for fd, _ in self._epoll.poll(timeout_s, 1024):
            reader = readers.get(fd)
            if reader is not None:
                reader()

    def run_until(self, done: Callable[[], bool], deadline: float) -> bool:
        """Turns until `done`, at most to `deadline` (monotonic). Whether it was done."""
        while not done():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.turn(min(left, 0.05))
        return True


def connect(url: str) -> socket.socket:
    """A TCP connection to the host and port of `url`."""
    parts = urlsplit(url)
    sock = socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 80))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _read(sock: socket.socket) -> bytes:
    """What has come; b"" at the end."""
    return bytes(_READ[: sock.recv_into(_ROOM)])


class Http:
    """One kept connection with one request in work; `on_answer(status, body)`."""

    def __init__(self, poll: Poll, url: str, on_answer: Callable[[int, bytes], None]) -> None:
        self._sock = connect(url)
        self._poll = poll
        self._on_answer = on_answer
        self._buffer = b""
        poll.add(self._sock, self._readable)

    def close(self) -> None:
        """Ends the connection."""
        self._poll.remove(self._sock)
        self._sock.close()

    def send(self, request: bytes) -> None:
        """A whole request; small enough for the kernel to take at once."""
        self._sock.sendall(request)

    def _readable(self) -> None:
        data = _read(self._sock)
        if not data:
            raise Lost("an HTTP connection")
        data = self._buffer + data
        head, found, rest = data.partition(b"\r\n\r\n")
        if not found:
            self._buffer = data
            return
        size = _content_length(head)
        if len(rest) < size:
            self._buffer = data
            return
        self._buffer = rest[size:]
        self._on_answer(int(head[9:12]), rest[:size])


def _content_length(head: bytes) -> int:
    at = head.lower().find(b"content-length:")
    if at < 0:
        return 0
    end = head.find(b"\r\n", at)
    return int(head[at + 15 : end if end >= 0 else None])


def post(path: str, token: str, body: bytes) -> bytes:
    """A request as a browser's fetch makes it, ready to be sent."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def upgrade(path: str, more: str = "") -> bytes:
    """A WebSocket handshake. `more`: header lines, each with its end."""
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{more}\r\n"
    ).encode()


class WebSocket:
    """One authenticated socket. `on_frame(payload)` for each text frame; pings are answered.

    `opened` once the 101 has come; `caught_up` once everything before has been told.
    """

    __slots__ = ("_buffer", "_on_frame", "_poll", "caught_up", "opened", "sock")

    def __init__(
        self, poll: Poll, url: str, token: str, on_frame: Callable[[bytes], None] | None, *, cursor: str = ""
    ) -> None:
        self.sock = connect(url)
        self.opened = self.caught_up = False
        self._poll = poll
        self._buffer = b""
        self._on_frame = on_frame
        query = f"?cursor={cursor}" if cursor else ""
        who = f"Authorization: Bearer {token}\r\nSec-WebSocket-Protocol: chat.v1\r\n"
        self.sock.sendall(upgrade(f"/ws/chat{query}", who))
        poll.add(self.sock, self._readable)

    def listen(self, on_frame: Callable[[bytes], None]) -> None:
        """From now on to `on_frame`."""
        self._on_frame = on_frame

    def close(self) -> None:
        """Drops the connection without a word."""
        self._poll.remove(self.sock)
        self.sock.close()

    def _readable(self) -> None:
        data = _read(self.sock)
        if not data:
            raise Lost("a WebSocket")
        if self._buffer:
            data = self._buffer + data
        start = 0
        if not self.opened:
            head = data.find(b"\r\n\r\n")
            if head < 0:
                self._buffer = data
                return
            if not data.startswith(b"HTTP/1.1 101"):
                raise Refused(data)
            self.opened, start = True, head + 4
        size = len(data)
        while start + 2 <= size:
            opcode, length, at = data[start] & 0x0F, data[start + 1], start + 2
            if length == 126:
                length, at = int.from_bytes(data[at : at + 2], "big"), at + 2
            elif length == 127:
                length, at = int.from_bytes(data[at : at + 8], "big"), at + 8
            if at + length > size:
                break
            start = at + length
            self._take(opcode, data[at:start])
        self._buffer = data[start:]

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            if not self.caught_up and b'"system.caught_up"' in payload:
                self.caught_up = True
            if self._on_frame is not None:
                self._on_frame(payload)
        elif opcode == PING:
            # Masked with zeros: allowed, and nothing to compute.
            self.sock.sendall(bytes((0x8A, 0x80 | len(payload), 0, 0, 0, 0)) + payload)
        elif opcode == CLOSE:
            raise Lost(f"a WebSocket, closed with {int.from_bytes(payload[:2], 'big')}")
