"""The load's own XMPP, against servers that send what they like, in pieces."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from bench.load.poll import Lost, Poll
from bench.load.xmpp import Pair, log_in

FEATURES = b"<stream:stream id='1'><stream:features><mechanisms/></stream:features>"
WELCOMING = (
    FEATURES,
    b"<iq type='result' id='register'/>",
    b'<success xmlns="urn:ietf:params:xml:ns:xmpp-sasl"/>',
    FEATURES,
    b"<iq type='result' id='bind'><bind><jid>ada@localhost/x</jid></bind></iq>",
    b'<presence from="ada@localhost/x" to="ada@localhost/x"/>',
)


@contextmanager
def server(answers: Sequence[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """Answers with one after the other, each in two pieces. Yields its port and what it was told."""
    told: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            for answer in answers:
                told.append(peer.recv(4096))
                peer.sendall(answer[:9])
                peer.sendall(answer[9:])
            peer.recv(4096)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield listener.getsockname()[1], told
        finally:
            thread.join(10)


def test_somebody_registers_logs_in_and_is_present() -> None:
    with server(WELCOMING) as (port, told):
        log_in(port, "localhost", "ada").close()
    assert b"<username>ada</username>" in told[1]
    assert b"AGFkYQBzZWNyZXQ=" in told[2]  # NUL ada NUL secret
    assert told[5] == b"<presence/>"


@pytest.mark.parametrize(
    "refusal",
    [b"<iq id='register' type=\"error\"><error/></iq>", b"<stream:error><policy-violation/></stream:error>"],
)
def test_a_refusal_is_told_in_the_servers_words(refusal: bytes) -> None:
    with server((FEATURES, refusal)) as (port, _), pytest.raises(Lost, match=r"error"):
        log_in(port, "localhost", "ada")


@pytest.fixture
def poll() -> Poll:
    return Poll()


@pytest.fixture
def ends(poll: Poll) -> Iterator[tuple[Pair, socket.socket, socket.socket]]:
    """A pair, and the server's ends of the sender's and the receiver's connections."""
    sender, from_sender = socket.socketpair()
    receiver, to_receiver = socket.socketpair()
    with sender, from_sender, receiver, to_receiver:
        yield Pair(poll, sender, receiver, "bob@localhost/x"), from_sender, to_receiver


def soon(poll: Poll, done: Callable[[], bool]) -> bool:
    return poll.run_until(done, time.monotonic() + 5)


def archived(message: bytes) -> bytes:
    """As the receiver is told it."""
    return message.replace(b"<body>", b"<stanza-id xmlns='urn:xmpp:sid:0' id='7'/><body>")


def test_the_next_message_waits_for_the_one_before(
    poll: Poll, ends: tuple[Pair, socket.socket, socket.socket]
) -> None:
    pair, from_sender, to_receiver = ends
    pair.begin()
    first = from_sender.recv(4096)
    assert first.startswith(b"<message to='bob@localhost/x' type='chat' id='m1'><body>")
    from_sender.sendall(b"<r xmlns='urn:xmpp:sm:3'/>")  # nothing to the pair
    told = b"<presence/>" + archived(first)
    for piece in (told[:60], told[60:-5]):
        to_receiver.sendall(piece)
        poll.turn(1.0)
    assert pair.deliveries == []
    to_receiver.sendall(told[-5:])
    assert soon(poll, lambda: len(pair.deliveries) == 1)
    assert b" id='m2'>" in from_sender.recv(4096)


def test_after_the_last_nothing_is_sent(poll: Poll, ends: tuple[Pair, socket.socket, socket.socket]) -> None:
    pair, from_sender, to_receiver = ends
    pair.begin()
    pair.stopped = True
    assert pair.busy
    to_receiver.sendall(archived(from_sender.recv(4096)))
    assert soon(poll, lambda: not pair.busy)
    assert pair.count == 1


def test_what_is_delivered_and_not_archived_does_not_count(
    poll: Poll, ends: tuple[Pair, socket.socket, socket.socket]
) -> None:
    pair, from_sender, to_receiver = ends
    pair.begin()
    to_receiver.sendall(from_sender.recv(4096))
    with pytest.raises(RuntimeError, match="not archived"):
        soon(poll, lambda: bool(pair.deliveries))


def test_a_connection_that_ends_is_lost(poll: Poll, ends: tuple[Pair, socket.socket, socket.socket]) -> None:
    _, _, to_receiver = ends
    to_receiver.shutdown(socket.SHUT_WR)
    with pytest.raises(Lost):
        poll.turn(1.0)
