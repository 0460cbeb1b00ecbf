"""Pairs who talk over XMPP: each sender sends the next message once the receiver has the previous one with a
`stanza-id`, which says that it is archived. `{port, host, pairs}`, then a line for each turn,
`{warm_s, measure_s}` (see `bench.turn`)."""

from __future__ import annotations

import base64
import secrets
import socket
import time

from bench.load.poll import Lost, Poll, connect
from bench.load.program import configuration, next_turn
from bench.load.talk import play

_PAD = b":" + b"x" * 280
_CHUNK = 64 * 1024
_ANSWER_S = 10.0
_END, _ARCHIVED = b"</message>", b"<stanza-id"


def log_in(port: int, host: str, name: str) -> socket.socket:
    """The connection of somebody newly registered, logged in and present as `<name>@<host>/x`.

    Raises Lost when the server refuses any of it.
    """
    sock = connect(f"xmpp://127.0.0.1:{port}")
    sock.settimeout(_ANSWER_S)
    stream = (
        f"<?xml version='1.0'?><stream:stream to='{host}' xmlns='jabber:client' "
        "xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
    )
    account = f"<username>{name}</username><password>secret</password>"
    plain = base64.b64encode(f"\0{name}\0secret".encode()).decode()
    bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>x</resource></bind>"
    _ask(sock, stream, "</stream:features>")
    register = f"<query xmlns='jabber:iq:register'>{account}</query>"
    _ask(sock, f"<iq type='set' id='register'>{register}</iq>", "id='register'")
    _ask(sock, f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>", "<success")
    _ask(sock, stream, "</stream:features>")
    _ask(sock, f"<iq type='set' id='bind'>{bind}</iq>", "<jid>")
    _ask(sock, "<presence/>", "<presence")  # the server tells it to all who are this person, so to us
    return sock


def _ask(sock: socket.socket, what: str, answer: str) -> None:
    sock.sendall(what.encode())
    told = ""
    while answer not in told:
        data = sock.recv(_CHUNK)
        told += data.decode().replace('"', "'")
        if not data or any(bad in told for bad in ("<failure", "<stream:error", "type='error'")):
            raise Lost(f"an XMPP connection, after {told[-300:]!r}")


class Pair:
    """Two connections of two people. `begin` sends the first message, each arrival the next one."""

    def __init__(self, poll: Poll, sender: socket.socket, receiver: socket.socket, address: str) -> None:
        self._sender, self._receiver = sender, receiver
        self._before = f"<message to='{address}' type='chat' id='m%d'><body>".encode()
        self._buffer = self._wanted = b""
        self.count = 0
        """Messages sent."""
        self._sent_at = 0.0
        self.stopped = True
        self.deliveries: list[float] = []
        poll.add(sender, self._told)
        poll.add(receiver, self._readable)

    @property
    def busy(self) -> bool:
        return bool(self._wanted)

    def forget(self) -> None:
        self.deliveries = []

    def found(self) -> dict[str, list[float]]:
        return {"deliver": self.deliveries}

    def begin(self) -> None:
        self.stopped = False
        self._next()

    def _next(self) -> None:
        self.count += 1
        self._wanted = b"%019d" % self.count + _PAD
        self._sent_at = time.perf_counter()
        self._sender.sendall(self._before % self.count + self._wanted + b"</body></message>")

    def _told(self) -> None:
        """Who sends is told nothing of interest."""
        if not self._sender.recv(_CHUNK):
            raise Lost("a sender's XMPP connection")

    def _readable(self) -> None:
        data = self._receiver.recv(_CHUNK)
        if not data:
            raise Lost("a receiver's XMPP connection")
        *whole, self._buffer = (self._buffer + data).split(_END)
        for message in whole:
            if self._wanted and self._wanted in message:
                self._got(message)

    def _got(self, message: bytes) -> None:
        if _ARCHIVED not in message:
            raise RuntimeError(f"delivered and not archived: {message[:500]!r}")
        self.deliveries.append(time.perf_counter() - self._sent_at)
        if self.stopped:
            self._wanted = b""
        else:
            self._next()


def main() -> None:
    given = configuration()
    poll = Poll()
    port, host = given["port"], given["host"]
    run = secrets.token_hex(4)  # no two runs' accounts are one
    pairs = []
    for number in range(given["pairs"]):
        sender = log_in(port, host, f"sender-{run}-{number}")
        receiver = log_in(port, host, f"receiver-{run}-{number}")
        pairs.append(Pair(poll, sender, receiver, f"receiver-{run}-{number}@{host}/x"))
    while turn := next_turn(poll):
        play(poll, pairs, turn)


if __name__ == "__main__":
    main()
